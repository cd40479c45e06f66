# SPDX-License-Identifier: BSD-3-Clause
"""Numbered frames that the device must send back, unchanged except for swapped addresses."""

import struct

from .wait import Failure

PEER = bytes.fromhex("0200000000fe")
SIZES = 60, 61, 590, 1514


def frame(number, source, vlan):
    """Returns a frame to PEER. Its size and content follow from its number."""
    tag = struct.pack(">HH", 0x8100, vlan) if vlan is not None else b""
    head = PEER + source + tag + struct.pack(">HI", 0x88B5, number)
    size = SIZES[number % len(SIZES)]
    return head + bytes((number + i) & 0xFF for i in range(size - len(head)))


def number_of(sent):
    """Returns the number of a frame without a VLAN tag."""
    return int.from_bytes(sent[14:18], "big")


def reflected(sent):
    return sent[6:12] + sent[:6] + sent[12:]


class Traffic:
    """Frames in flight on the pairs of a VirtioNet; `sent` counts them for each pair.

    `collect` requires all of them back. `turn` and `settle` are for a device that may be stopped:
    then frames that it has taken find no driver. `lost` counts these. No frame may come back late
    or twice.
    """

    def __init__(self, net):
        self._net = net
        self._number = 0
        self._expected = {}
        self.sent = {}
        self.lost = 0

    def send(self, pair, source, count=4, vlan=None, returns=True):
        """Sends frames; `collect` waits for them unless the device must not return them."""
        frames = [frame(self._number + i, source, vlan) for i in range(count)]
        self._number += count
        self._net.send(pair, frames)
        self.sent[pair] = self.sent.get(pair, 0) + count
        if returns:
            self._expected.setdefault(pair, []).extend(frames)

    def collect(self, may_lose=0):
        """Receives all frames that must come back, in order, and no others before them.

        Up to `may_lose` frames may be missing before one that arrives. Returns how many were
        missing.
        """
        lost = 0
        for pair, frames in self._expected.items():
            wanted = [reflected(sent) for sent in frames]
            while wanted:
                seen = self._net.receive(pair)
                ahead = wanted[:may_lose - lost + 1]
                if seen not in ahead:
                    raise Failure(f"frame reflected on pair {pair}\n"
                                  f"  expected: {len(wanted[0])} bytes {wanted[0][:24].hex()}...\n"
                                  f"  seen:     {len(seen)} bytes {seen[:24].hex()}...")
                lost += ahead.index(seen)
                del wanted[:ahead.index(seen) + 1]
            self._net.finish_sent(pair)
        self._expected = {}
        return lost

    def check(self, pairs, source, count=8):
        """Sends frames on several pairs at once and collects them."""
        for pair in range(pairs):
            self.send(pair, source, count)
        self.collect()

    def check_blocked(self, source, vlan=None, passes=None):
        """Sends frames that the filter must drop, then one from `passes` that must arrive."""
        self.send(0, source, 2, vlan, returns=False)
        self.send(0, passes, 1)
        self.collect()

    def turn(self, pairs, source, under_way=8):
        """Receives what has come back, and keeps `under_way` frames under way on each pair."""
        for pair in range(pairs):
            while seen := self._net.arrived(pair):
                self._match(pair, seen)
            self._net.free_sent(pair)
            missing = under_way - len(self._expected.get(pair, []))
            if missing > 0:
                self.send(pair, source, missing)

    def settle(self, pairs, source):
        """Sends one more frame on each pair, and receives until it is back."""
        for pair in range(pairs):
            self.send(pair, source, 1)
            while self._expected[pair]:
                self._match(pair, self._net.receive(pair))
            self._net.finish_sent(pair)

    def _match(self, pair, seen):
        expected = [reflected(sent) for sent in self._expected.get(pair, [])]
        if seen not in expected:
            raise Failure(f"frame reflected on pair {pair}, of {self._number} in all\n"
                          f"  expected: one of {[number_of(sent) for sent in expected]}\n"
                          f"  seen:     {number_of(seen)}, {len(seen)} bytes {seen[:24].hex()}...")
        skipped = expected.index(seen)
        self.lost += skipped
        del self._expected[pair][:skipped + 1]

    def move(self, qtest):
        """Continues in a copy of the machine: frames that were not sent in it are not under way."""
        for pair, count in self._net.move(qtest).items():
            self.sent[pair] -= count
            del self._expected[pair][len(self._expected[pair]) - count:]
