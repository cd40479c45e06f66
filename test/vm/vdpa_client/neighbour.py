# SPDX-License-Identifier: BSD-3-Clause
"""Two devices of one worker: the rate of a good driver while the other device's driver is hostile.

Phases alternate: the hostile driver is idle, does one kind of harm, and is idle again. The worker
shares its time (app/datapath/fair_share.h), so with two busy devices a good driver gets half of it.
It must keep a quarter of its idle rate; the rest is a margin for the machine's noise. Some harm is
legal: chains as long as their ring, with a byte in each descriptor, cost as much as ten bursts of
good frames.

Both devices reflect. The good driver's ring is so large that it need not supply buffers in time: it
shares its CPU with the hostile driver and the control thread.
"""

import os
import random
import select
import struct
import time

from lab.ask import ask
from qtest.wait import Failure, expect, run_program

from .memory import Memory
from .net import F_CTRL_VQ, HEADER, SIMPLE, Net, frame
from .ring import NEXT, WRITE, Ring, ring_bytes

IOVA, CONTROL = 0x100000, 0x8000000
LARGE, USUAL = 32768, 1024  # ring sizes
PHASE = 0.8  # seconds
LEAST = 1 / 4


class Driver:
    """Two rings with a page for each."""

    def __init__(self, path, size, features=SIMPLE):
        self.net = Net(path, features)
        self.size = size
        self.rings_end = 2 * ring_bytes(size)
        self.memory = Memory(self.rings_end + 0x20000)
        self.data = IOVA + self.rings_end
        self.net.vhost.map(IOVA, self.memory.size, self.memory.address)
        self.set_up()

    def set_up(self):
        self.receive = Ring(self.memory, 0, self.size, IOVA)
        self.send = Ring(self.memory, self.rings_end // 2, self.size, IOVA)
        for index, ring in enumerate((self.receive, self.send)):
            self.net.set_queue(index, ring)
        if self.net.features & F_CTRL_VQ:
            self.net.set_control(CONTROL)
        self.net.driver_ok()

    def restart(self):
        self.net.start_negotiation()
        self.set_up()


class Good(Driver):
    """All its frames are equal; they are sent from one buffer and received into another."""

    def __init__(self, path):
        super().__init__(path, LARGE)
        sent, self.reflected = frame(1)
        self.memory.bytes_[self.rings_end:self.rings_end + HEADER + len(sent)] = bytes(HEADER) + sent
        self.receive.set_all(self.data + 0x1000, 0x100, WRITE)
        self.send.set_all(self.data, HEADER + len(sent))
        for ring in (self.receive, self.send):
            ring.post(self.size)

    def rate(self, seconds=PHASE):
        """Returns the frames per second that come back."""
        received, begin = 0, time.monotonic()
        while (now := time.monotonic()) < begin + seconds:
            returned = self.size - self.receive.pending()
            self.receive.post(returned)
            self.send.post(self.size - self.send.pending())
            received += returned
            time.sleep(0.003)
        at = self.rings_end + 0x1000 + HEADER
        expect("the good driver's frames", bytes(self.memory.bytes_[at:at + len(self.reflected)]),
               self.reflected)
        return received / (now - begin)


class Hostile(Driver):
    """One method for each kind of harm; it is called repeatedly."""

    def __init__(self, path):
        self.random = random.Random(1)
        super().__init__(path, USUAL, SIMPLE | F_CTRL_VQ)

    def again(self, ring):
        """Makes all used entries available again."""
        ring.post(ring.size - ring.pending())

    def table(self, descriptor):
        """A table with `descriptor`'s values for each index: address, length, flags, next."""
        return b"".join(struct.pack("=QIHH", *descriptor(i)) for i in range(self.size))

    def begin_idle(self):
        """Does nothing."""
        self.restart()

    def begin_garbage(self):
        self.restart()
        for ring in (self.receive, self.send):
            ring.set_raw(self.random.randbytes(16 * self.size))

    def garbage(self):
        for ring in (self.receive, self.send):
            ring.set_entry(self.random.randrange(self.size), self.random.randrange(self.size))
            self.again(ring)

    def begin_loops(self):
        """Each chain leads into a loop of all descriptors."""
        self.restart()
        self.send.set_raw(self.table(lambda i: (self.data, 1, NEXT, (i + 1) % self.size)))

    def loops(self):
        self.again(self.send)

    def begin_lengths(self):
        lengths = 0, 1, 11, 12, 13, 25, 26, 2000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF
        self.restart()
        for ring in (self.receive, self.send):
            ring.set_raw(self.table(lambda i: (
                self.data, self.random.choice(lengths), self.random.choice((0, NEXT, WRITE)),
                self.random.randrange(self.size))))

    def lengths(self):
        for ring in (self.receive, self.send):
            self.again(ring)

    def begin_long_chains(self):
        """Frames and receive buffers in pieces of one byte, one in each descriptor of the ring."""
        self.restart()
        for ring, flags in ((self.receive, WRITE), (self.send, 0)):
            ring.set_raw(self.table(lambda i, f=flags: (
                self.data + 0x1000 + 2 * i, 1, f | (NEXT if i + 1 < self.size else 0),
                (i + 1) % self.size)))
            for position in range(self.size):
                ring.set_entry(position, 0)

    def long_chains(self):
        for ring in (self.receive, self.send):
            self.again(ring)

    def begin_kicks(self):
        """Garbage on the control queue, and repeated kicks without work."""
        self.restart()
        control = self.net.control
        for index in range(control.ring.size):
            control.ring.set(index, CONTROL + control.memory.size - 0x1000, 3,
                             self.random.choice((0, WRITE)))

    def kicks(self):
        self.again(self.net.control.ring)
        for _ in range(20):
            os.eventfd_write(self.net.control.kick, 1)

    def begin_jumps(self):
        self.jumps()

    def jumps(self):
        """An impossible index: the queue is not served until a reset, which follows at once."""
        self.restart()
        self.send.post(self.size + 1)
        time.sleep(0.001)


KINDS = "garbage", "loops", "lengths", "long_chains", "kicks", "jumps"


def serve(path, orders, answers):
    """The hostile process: does one kind of harm until the next order."""
    hostile = Hostile(path)
    os.write(answers, b".")
    while order := os.read(orders, 64).decode():
        getattr(hostile, "begin_" + order)()
        os.write(answers, b".")
        act = getattr(hostile, order, None)
        while act and not select.select([orders], [], [], 0)[0]:
            act()
    hostile.net.close()


class HostileProcess:
    """Runs serve() in another process."""

    def __init__(self, path):
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        if not os.fork():
            os.close(self._orders)
            status = 1
            try:
                serve(path, orders, answers)
                status = 0
            finally:
                os._exit(status)
        os.close(orders)
        os.close(answers)
        self._wait()

    def _wait(self):
        if os.read(self._answers, 1) != b".":
            raise Failure("the hostile driver's process has ended")

    def order(self, kind):
        os.write(self._orders, kind.encode())
        self._wait()

    def end(self):
        os.close(self._orders)
        expect("the end of the hostile driver's process", os.wait()[1], 0)


def harm_done(kind):
    """Returns telemetry's count for a kind of harm: 0 if it had no effect."""
    stats = ask("/vduse/stats,vd1")
    if kind == "kicks":
        return stats["refused"]
    if kind == "long_chains":
        return stats["from_guest"]["frames"]
    if kind == "jumps":
        return sum("SET_STATUS 0x0: ok" in line for line in ask("/vduse/events,vd1"))
    return stats["from_guest"]["dropped"]


def main():
    good = Good("/dev/vhost-vdpa-0")
    hostile = HostileProcess("/dev/vhost-vdpa-1")
    good.rate()
    idle = good.rate()
    print(f"{'':12} frames a second before, meanwhile, after", flush=True)
    failures = []
    for kind in KINDS:
        before, done = idle, harm_done(kind)
        hostile.order(kind)
        meanwhile = good.rate()
        done = harm_done(kind) - done if kind != "jumps" else harm_done(kind)
        hostile.order("idle")
        idle = good.rate()
        print(f"{kind:12} {before:10.0f} {meanwhile:10.0f} {idle:10.0f}   ({done} of it seen)",
              flush=True)
        if done <= 0:
            failures.append(f"{kind}: the device saw nothing of it")
        if meanwhile < LEAST * min(before, idle):
            failures.append(f"{kind}: the good driver keeps {meanwhile / min(before, idle):.0%}")
    hostile.end()
    stats = ask("/vduse/stats,vd0")
    expect("the good driver's frames that were dropped",
           [stats[d]["dropped"] for d in ("from_guest", "to_guest")], [0, 0])
    good.net.close()
    if failures:
        raise Failure("; ".join(failures))


if __name__ == "__main__":
    run_program(main)
