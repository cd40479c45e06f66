# SPDX-License-Identifier: BSD-3-Clause
"""A thousand changes of an address space under traffic.

No byte of memory may be touched once the device has answered that it is unmapped.

The device reflects. Batches of frames use memory that stays mapped. In the middle of each batch,
one frame is sent from, and one received into, a page that was mapped for it. Then the page is
unmapped while other frames are under way, and its memory is filled with a pattern. The pattern must
still be there when the page is used again. The window has few addresses, so each address maps other
pages all the time. In every fourth round the page is unmapped while its buffers are still available
to the device, which may have used them before, or not at all.
"""

import statistics
import time

from lab.ask import ask
from qtest.wait import Failure, expect, run_program

from .memory import Memory
from .net import HEADER, Net, frame, wait_used
from .ring import WRITE, Ring, ring_bytes

ROUNDS = 500  # of two changes each
SIZE = 256    # of the rings
BATCH = 128
ROOM = 128    # for a frame
PAGE, PAGES = 0x1000, 64
FIXED, WINDOW, WINDOW_PAGES = 0x100000, 0x40000000, 4
SEND_AT = 0x800  # in a page: where the frame is that it sends
STEADY = 0xFFFFFFFF  # the number of all frames that stay in fixed memory


def header_and(data):
    """Returns the content of a received buffer; its virtio-net header has num_buffers 1."""
    return (bytes(HEADER - 2) + b"\1\0" + data).ljust(ROOM, b"\0")


class Churn:
    """The driver and its memory."""

    def __init__(self):
        self.net = Net()
        rings = 2 * ring_bytes(SIZE)
        self.fixed = Memory(rings + PAGE + SIZE * ROOM)
        self.pool = Memory(PAGES * PAGE)
        self.pool.bytes_[:] = self.pattern(0) * PAGES
        self.filled_with = [0] * PAGES
        self.net.vhost.map(FIXED, self.fixed.size, self.fixed.address)
        self.receive = Ring(self.fixed, 0, SIZE, FIXED)
        self.send = Ring(self.fixed, rings // 2, SIZE, FIXED)
        self.source, self.room = rings, rings + PAGE
        sent, reflected = frame(STEADY)
        self.frame_bytes = HEADER + len(sent)
        self.fixed.bytes_[rings:rings + self.frame_bytes] = bytes(HEADER) + sent
        self.steady = header_and(reflected)
        for index in range(SIZE):
            self.set_steady(index, index)
        for index, ring in enumerate((self.receive, self.send)):
            self.net.set_queue(index, ring)
        self.net.driver_ok()
        self.sent = 0
        self.seconds = []

    @staticmethod
    def pattern(number):
        """Returns the content of a page after round `number`."""
        return bytes([0xA0 + number % 89]) * PAGE

    def set_steady(self, receive_index, send_index):
        self.receive.set(receive_index, FIXED + self.room + receive_index * ROOM, ROOM, WRITE)
        self.send.set(send_index, FIXED + self.source, self.frame_bytes)

    def post(self, count):
        self.receive.post(count)
        self.send.post(count)
        self.sent += count

    def settle(self):
        """Waits until the device has no frames left.

        A frame from or to unmapped memory is dropped, and then buffers are left over.
        """
        wait_used(self.send)
        deadline = time.monotonic() + 20
        while left := self.receive.pending():
            if time.monotonic() > deadline:
                raise Failure(f"{left} buffers stay empty")
            self.send.post(left)
            self.sent += left
            wait_used(self.send)

    def check_steady(self, first, count, also=None):
        """Checks that `count` buffers from ring position `first` on hold the expected frames."""
        for index in (position % SIZE for position in range(first, first + count)):
            at = self.room + index * ROOM
            seen = self.fixed.bytes_[at:at + ROOM]
            if seen != self.steady and seen != also:
                raise Failure(f"a frame nobody sent: {bytes(seen[:40]).hex()}...")
        # Clear the buffers, so that each frame must be written again.
        self.fixed.bytes_[self.room:] = bytes(SIZE * ROOM)

    def page(self, index):
        return self.pool.bytes_[index * PAGE:(index + 1) * PAGE]

    def check_page(self, index):
        number = self.filled_with[index]
        if self.page(index) != self.pattern(number):
            at = next(i for i, byte in enumerate(self.page(index))
                      if byte != self.pattern(number)[0])
            raise Failure(f"memory that was unmapped in round {number} was written to, at offset "
                          f"{at:#x}: {bytes(self.page(index)[at:at + 16]).hex()}")

    def timed(self, change, *arguments):
        begin = time.monotonic()
        change(*arguments)
        self.seconds.append(time.monotonic() - begin)

    def round(self, number):
        vhost, index = self.net.vhost, number % PAGES
        iova = WINDOW + number % WINDOW_PAGES * PAGE
        self.check_page(index)
        page = self.page(index)
        sent, reflected = frame(number)
        page[:ROOM] = bytes(ROOM)
        page[SEND_AT:SEND_AT + self.frame_bytes] = bytes(HEADER) + sent
        before = bytes(page)

        def map_page():
            if number % 2:
                vhost.begin()
            vhost.map(iova, PAGE, self.pool.address + index * PAGE)
            if number % 2:
                vhost.end()

        self.timed(map_page)
        # All buffers are used, so the frames of this batch go into its buffers one by one, although
        # the two rings may be at different positions.
        first = self.receive.avail
        middle = [(ring.avail + BATCH // 2) % SIZE for ring in (self.receive, self.send)]
        self.receive.set(middle[0], iova, ROOM, WRITE)
        self.send.set(middle[1], iova + SEND_AT, self.frame_bytes)
        self.post(BATCH)
        early = number % 4 == 3
        if not early:
            wait_used(self.receive)
            expect(f"round {number}: the page", bytes(page[:ROOM]), header_and(reflected))
            expect(f"round {number}: the rest of the page", bytes(page[ROOM:]), before[ROOM:])
            self.set_steady(*middle)
            self.check_steady(middle[0] + 1, BATCH // 2 - 1)
            self.post(BATCH // 2)
        self.timed(vhost.unmap, iova, PAGE)
        page[:] = self.pattern(number)
        self.filled_with[index] = number
        self.settle()
        if early:
            self.set_steady(*middle)
            self.check_steady(first, BATCH // 2, header_and(reflected))
        else:
            self.check_steady(first + BATCH, BATCH // 2)

    def run(self):
        for number in range(1, ROUNDS + 1):
            self.round(number)
        for index in range(PAGES):
            self.check_page(index)
        self.net.vhost.unmap(FIXED, self.fixed.size)
        self.fixed.bytes_[:] = self.pattern(0)[:1] * self.fixed.size
        time.sleep(0.2)  # for a touch that comes late
        expect("bytes of the rings that were written after they were unmapped",
               self.fixed.size - bytes(self.fixed.bytes_).count(self.pattern(0)[:1]), 0)

    def check_counters(self):
        """Checks that each frame was received or, if its memory was unmapped, dropped."""
        stats = ask("/vduse/stats,vd0")
        sender, receiver = stats["from_guest"], stats["to_guest"]
        expect("frames received and dropped", sender["frames"] + sender["dropped"], self.sent)
        gone = ROUNDS // 4
        for direction in (sender, receiver):
            expect("drops but for malformed chains",
                   direction["dropped"] - direction["dropped_malformed"], 0)
            if direction["dropped_malformed"] > gone:
                raise Failure(f"{direction['dropped_malformed']} malformed chains, for {gone} pages "
                              "that went early")
        print(f"{self.sent} frames, dropped with their memory: {sender['dropped']} sent, "
              f"{receiver['dropped']} received", flush=True)


def main():
    churn = Churn()
    begin = time.monotonic()
    churn.run()
    print(f"{len(churn.seconds)} changes in {time.monotonic() - begin:.1f} s; answered within "
          f"{1e3 * statistics.median(churn.seconds):.2f} ms (median), "
          f"{1e3 * max(churn.seconds):.2f} ms (longest)", flush=True)
    churn.check_counters()
    churn.net.close()


if __name__ == "__main__":
    run_program(main)
