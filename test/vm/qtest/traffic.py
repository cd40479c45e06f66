# SPDX-License-Identifier: BSD-3-Clause
"""Numbered frames that the device must send back, each unchanged but for its swapped addresses."""

import struct

from .wait import Failure

PEER = bytes.fromhex("0200000000fe")
SIZES = 60, 61, 590, 1514


def frame(number, source, vlan):
    """A frame to PEER, of a size and content that follow from its number."""
    tag = struct.pack(">HH", 0x8100, vlan) if vlan is not None else b""
    head = PEER + source + tag + struct.pack(">HI", 0x88B5, number)
    size = SIZES[number % len(SIZES)]
    return head + bytes((number + i) & 0xFF for i in range(size - len(head)))


def number_of(sent):
    """Of a frame without a VLAN tag."""
    return int.from_bytes(sent[14:18], "big")


def reflected(sent):
    return sent[6:12] + sent[:6] + sent[12:]


class Traffic:
    """Frames in flight on the pairs of a VirtioNet; `sent` counts them, pair by pair.

    `collect` wants all of them back. `turn` and `settle` are for a device that may be stopped, when
    frames that it has taken find no driver: `lost` counts those, none may come late or twice.
    """

    def __init__(self, net):
        self._net = net
        self._number = 0
        self._expected = {}
        self.sent = {}
        self.lost = 0

    def send(self, pair, source, count=4, vlan=None, returns=True):
        """Send frames; `collect` will wait for them unless the device must not return them."""
        frames = [frame(self._number + i, source, vlan) for i in range(count)]
        self._number += count
        self._net.send(pair, frames)
        self.sent[pair] = self.sent.get(pair, 0) + count
        if returns:
            self._expected.setdefault(pair, []).extend(frames)

    def collect(self, may_lose=0):
        """Receive all that must come back, in order, and nothing else before it.

        Up to `may_lose` may be missing before one that comes; returns how many were.
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
        """Frames on several pairs at once."""
        for pair in range(pairs):
            self.send(pair, source, count)
        self.collect()

    def check_blocked(self, source, vlan=None, passes=None):
        """Frames that the device's filter must stop, then one from `passes` that must arrive."""
        self.send(0, source, 2, vlan, returns=False)
        self.send(0, passes, 1)
        self.collect()

    def turn(self, pairs, source, under_way=8):
        """Take what has come back, and see to it that so many frames are under way."""
        for pair in range(pairs):
            while seen := self._net.arrived(pair):
                self._match(pair, seen)
            self._net.free_sent(pair)
            missing = under_way - len(self._expected.get(pair, []))
            if missing > 0:
                self.send(pair, source, missing)

    def settle(self, pairs, source):
        """One frame more on each pair, and all that comes until it is back."""
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
        """Go on in a copy of the machine: what was not sent in it is not under way."""
        for pair, count in self._net.move(qtest).items():
            self.sent[pair] -= count
            del self._expected[pair][len(self._expected[pair]) - count:]
