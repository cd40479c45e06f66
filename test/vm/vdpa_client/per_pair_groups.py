# SPDX-License-Identifier: BSD-3-Clause
"""Each queue pair in its own address space: the same addresses map different memory for each.

The device reflects, and has two pairs. Pair 0 stays in space 0. Pair 1 starts in space 1. Its space
is emptied while pair 0 is busy. Then its group is moved to space 2, for which the kernel requires a
reset (EBUSY while the device runs). The memory that pair 1 used before is still mapped in space 1,
at the same addresses that pair 1 uses now. It holds a pattern that must not change.
"""

import errno

from lab.ask import ask
from qtest.wait import Failure, expect, run_program

from .memory import Memory
from .net import F_CTRL_VQ, F_MQ, HEADER, SIMPLE, Net, frame, wait_used
from .ring import WRITE, Ring, ring_bytes

SPACES = 4
SIZE, ROOM = 256, 128
BASE, CONTROL, CONTROL_SPACE = 0x100000, 0x800000, 3
PATTERN = 0xA5


class Pair:
    """The memory of one queue pair: rings, a frame to send, buffers to receive into."""

    def __init__(self, net, index, number):
        self._net, self._index = net, index
        self._rings = 2 * ring_bytes(SIZE)
        self.memory = Memory(self._rings + 0x1000 + SIZE * ROOM)
        sent, reflected = frame(number)
        self._frame = bytes(HEADER) + sent
        self._wanted = (bytes(HEADER - 2) + b"\1\0" + reflected).ljust(ROOM, b"\0")
        self.frames = 0

    def map(self, asid):
        self._net.vhost.map(BASE, self.memory.size, self.memory.address, asid=asid)

    def unmap(self, asid):
        self._net.vhost.unmap(BASE, self.memory.size, asid=asid)

    def set_up(self):
        """Sets the rings up from position 0."""
        source, room = self._rings, self._rings + 0x1000
        self.memory.bytes_[source:source + len(self._frame)] = self._frame
        self.memory.bytes_[room:] = bytes(SIZE * ROOM)
        self.receive = Ring(self.memory, 0, SIZE, BASE)
        self.send = Ring(self.memory, self._rings // 2, SIZE, BASE)
        for entry in range(SIZE):
            self.receive.set(entry, BASE + room + entry * ROOM, ROOM, WRITE)
            self.send.set(entry, BASE + source, len(self._frame))
        self._net.set_queue(2 * self._index, self.receive)
        self._net.set_queue(2 * self._index + 1, self.send)

    def post(self):
        for ring in (self.receive, self.send):
            ring.post(SIZE)
        self.frames += SIZE

    def check(self):
        """Checks that all sent frames have come back to this memory."""
        wait_used(self.receive)
        room = self.memory.bytes_[self._rings + 0x1000:]
        if room != self._wanted * SIZE:
            at = next(i for i in range(len(room)) if room[i] != self._wanted[i % ROOM])
            at -= at % ROOM
            raise Failure(f"pair {self._index}: a frame of somebody else: "
                          f"{bytes(room[at:at + 40]).hex()}")
        room[:] = bytes(len(room))

    def fill(self):
        self.memory.bytes_[:] = bytes([PATTERN]) * self.memory.size

    def check_untouched(self, what):
        touched = self.memory.size - bytes(self.memory.bytes_).count(bytes([PATTERN]))
        expect(f"{what}: bytes written through the old map", touched, 0)
        print(f"{what}: nothing was written through the old map", flush=True)


def volleys(pairs, count):
    for _ in range(count):
        for pair in pairs:
            pair.post()
        for pair in pairs:
            pair.check()


def start(net, first, second, space):
    """Moves pair 1's group to `space`: a reset has moved all groups back to space 0."""
    net.vhost.set_group_asid(1, space)
    net.vhost.set_group_asid(2, CONTROL_SPACE)
    first.set_up()
    second.set_up()
    net.set_control(CONTROL, CONTROL_SPACE)
    net.driver_ok()
    net.command(4, 0, b"\2\0")


def check_groups(second_space):
    info = ask("/vduse/info,vd0")
    expect("the spaces of the groups", {g: info["groups"][g]["asid"] for g in info["groups"]},
           {"0": 0, "1": second_space, "2": CONTROL_SPACE})


def main():
    net = Net(features=SIMPLE | F_CTRL_VQ | F_MQ)
    vhost = net.vhost
    expect("groups, spaces", (vhost.groups(), vhost.spaces()), (3, SPACES))
    expect("the groups of the queues", [vhost.group_of(i) for i in range(5)], [0, 0, 1, 1, 2])
    pair, old, new = [Pair(net, index, number) for index, number in ((0, 1), (1, 2), (1, 3))]
    pair.map(0)
    old.map(1)
    start(net, pair, old, 1)
    check_groups(1)
    volleys([pair, old], 8)

    pair.post()
    old.unmap(1)
    old.fill()
    pair.check()
    volleys([pair], 50)
    old.check_untouched("space 1 is emptied under pair 1")

    pair.post()
    try:
        vhost.set_group_asid(1, 2)
        raise Failure("the kernel moves a group of a running device; then let this test do so, too")
    except OSError as error:
        expect("the answer to a move while the driver runs", error.errno, errno.EBUSY)
    pair.check()
    net.start_negotiation()
    old.map(1)
    new.map(2)
    start(net, pair, new, 2)
    check_groups(2)
    volleys([pair, new], 50)
    old.check_untouched("pair 1 has moved to space 2")

    stats = ask("/vduse/stats,vd0")
    expect("frames, dropped", (stats["to_guest"]["frames"], stats["to_guest"]["dropped"]),
           (pair.frames + old.frames + new.frames, 0))
    net.close()


if __name__ == "__main__":
    run_program(main)
