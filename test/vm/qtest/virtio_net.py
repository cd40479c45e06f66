# SPDX-License-Identifier: BSD-3-Clause
"""A virtio-net driver inside the test: split rings, polled, no interrupts.

Guest memory has a fixed layout, so that a test knows where everything is: queue N has QUEUE_STRIDE
bytes at QUEUE_MEMORY + N * QUEUE_STRIDE, first its rings and then SLOTS buffers. A slot is one
request: it owns one buffer and DESCRIPTORS descriptors, and is posted repeatedly, oldest first.
to_guest (receive) slots are always posted. from_guest (transmit) slots have the net header and the
frame in two descriptors; control slots have the header, the data and the answer.
"""

import struct

from .qtest import PciFunction
from .wait import Failure, until

F_CSUM, F_GUEST_CSUM, F_MTU, F_MAC, F_STATUS = 1 << 0, 1 << 1, 1 << 3, 1 << 5, 1 << 16
F_CTRL_VQ, F_CTRL_RX, F_CTRL_VLAN, F_CTRL_RX_EXTRA = 1 << 17, 1 << 18, 1 << 19, 1 << 20
F_MQ, F_CTRL_MAC_ADDR, F_INDIRECT, F_VERSION_1 = 1 << 22, 1 << 23, 1 << 28, 1 << 32
F_CONTROL = F_CTRL_VQ | F_CTRL_RX | F_CTRL_VLAN | F_CTRL_RX_EXTRA | F_MQ | F_CTRL_MAC_ADDR
F_SIMPLE = F_MAC | F_STATUS | F_VERSION_1  # what firmware takes
F_ALL = F_SIMPLE | F_CSUM | F_GUEST_CSUM | F_MTU | F_CONTROL  # all that it uses

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK = 1, 2, 4, 8
OK, ERR = 0, 1  # answers of the control queue

QUEUE_MEMORY, QUEUE_STRIDE = 0x1000000, 0x20000
AVAIL, USED, BUFFERS = 0x4000, 0x5000, 0x8000
SLOTS, SLOT_SIZE, NET_HEADER = 32, 0x800, 12
NEXT, WRITE = 1, 2
DESCRIPTORS = 4


class Queue:
    """One split ring in guest memory."""

    def __init__(self, qtest, index, size, notify):
        self._qtest, self.index, self.size, self._notify = qtest, index, size, notify
        self.base = QUEUE_MEMORY + index * QUEUE_STRIDE
        self._slots = min(SLOTS, size // DESCRIPTORS)
        self._free = list(range(self._slots))
        self._posted = []  # all that ever were, the latest last
        self._avail = self._used = 0
        qtest.fill(self.base, BUFFERS)

    def buffer(self, slot):
        return self.base + BUFFERS + slot * SLOT_SIZE

    def free_slots(self):
        return len(self._free)

    def in_flight(self):
        return self._slots - len(self._free)

    def post(self, pieces):
        """Makes one request available: `pieces` is [(length, flags)], laid out one after another.

        Returns its slot. The caller must fill the buffer of `next_slot()` before.
        """
        slot = self._free.pop(0)
        self._posted.append(slot)
        head, address, table = slot * DESCRIPTORS, self.buffer(slot), b""
        for i, (length, flags) in enumerate(pieces):
            chained = NEXT if i + 1 < len(pieces) else 0
            table += struct.pack("<QIHH", address, length, flags | chained, head + i + 1)
            address += length
        self._qtest.write(self.base + 16 * head, table)
        entry = self.base + AVAIL + 4 + 2 * (self._avail % self.size)
        self._qtest.set(entry, 2, head)
        self._avail = self._avail + 1 & 0xFFFF
        self._qtest.set(self.base + AVAIL + 2, 2, self._avail)
        return slot

    def next_slot(self):
        if not self._free:
            raise Failure(f"queue {self.index}: the driver has no free slot")
        return self._free[0]

    def kick(self):
        self._qtest.set(self._notify, 2, self.index)

    def device_used(self):
        """Returns the device's used index in guest memory."""
        return self._qtest.get(self.base + USED + 2, 2)

    def take_used(self):
        """Returns the oldest request that the device has used: (slot, written bytes) or None."""
        if self.device_used() == self._used:
            return None
        entry = self.base + USED + 4 + 8 * (self._used % self.size)
        head, written = struct.unpack("<II", self._qtest.read(entry, 8))
        self._used = self._used + 1 & 0xFFFF
        slot, inside = divmod(head, DESCRIPTORS)
        if inside or slot >= self._slots or slot in self._free:
            raise Failure(f"queue {self.index}: the device used descriptor {head}, not in flight")
        self._free.append(slot)
        return slot, written

    def wait_used(self, seconds=20.0):
        return until(f"queue {self.index}: a used request", self.take_used, seconds,
                     lambda: f"avail {self._avail}, used {self._used}")

    def move(self, qtest):
        """Continues in a copy of the machine, and returns how many requests are not in it.

        A machine that stops makes no more requests, but the test continues for a while before it
        notices. Its requests in that time are undone here.
        """
        self._qtest = qtest
        avail = qtest.get(self.base + AVAIL + 2, 2)
        undone = self._avail - avail & 0xFFFF
        for _ in range(undone):
            self._free.insert(0, self._posted.pop())
        self._avail = avail
        return undone


class VirtioNet:
    """The device in a PCI slot: negotiation, frames, control commands."""

    def __init__(self, qtest, slot=4):
        self._qtest, self._slot = qtest, slot
        self._pci = PciFunction(qtest, slot)
        self.queues, self.features, self.pairs, self.control = {}, 0, 0, None

    def probe(self):
        """Finds the registers. Needed once after power-on and after every system reset."""
        if self._pci.get(0) & 0xFFFF != 0x1AF4:
            raise Failure("no virtio device in its PCI slot")
        bars = self._pci.enable()
        for offset in self._pci.capabilities():
            kind = self._pci.get(offset) >> 24
            address = bars.get(self._pci.get(offset + 4) & 0xFF, 0) + self._pci.get(offset + 8)
            if kind == 1:
                self._common = address
            elif kind == 2:
                self._notify, self._notify_step = address, self._pci.get(offset + 16)
            elif kind == 4:
                self._config = address

    def status(self):
        return self._qtest.get(self._common + 20, 1)

    def _set_status(self, value):
        self._qtest.set(self._common + 20, 1, value)

    def reset(self):
        self._set_status(0)
        until("device status 0 after a reset", lambda: self.status() == 0)
        self.queues = {}

    def offered(self):
        """Returns the device's feature bits."""
        bits = 0
        for word in (0, 1):
            self._qtest.set(self._common, 4, word)
            bits |= self._qtest.get(self._common + 4, 4) << 32 * word
        return bits

    def mac(self):
        return self._qtest.read(self._config, 6)

    def start(self, mask=F_ALL, without_control_queue=False):
        """Resets the device, accepts `mask` of the offered features, sets the queues up, DRIVER_OK.

        QEMU starts the vhost device before the last write returns. With `without_control_queue`,
        the control queue is not set up although its feature may be negotiated.
        """
        self.reset()
        self._set_status(ACKNOWLEDGE)
        self._set_status(ACKNOWLEDGE | DRIVER)
        self.features = self.offered() & mask
        for word in (0, 1):
            self._qtest.set(self._common + 8, 4, word)
            self._qtest.set(self._common + 12, 4, self.features >> 32 * word & 0xFFFFFFFF)
        self._set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK)
        if not self.status() & FEATURES_OK:
            raise Failure(f"features {self.features:#x} were refused")
        self.pairs = self._qtest.get(self._config + 8, 2) if self.features & F_MQ else 1
        self.control = None
        for index in range(2 * self.pairs):
            self._make_queue(index)
        if self.features & F_CTRL_VQ and not without_control_queue:
            self.control = self._make_queue(2 * self.pairs)
        self._set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)
        for pair in range(self.pairs):
            self._post_receive(self.queues[2 * pair])

    def _make_queue(self, index):
        common = self._common
        self._qtest.set(common + 22, 2, index)
        size = self._qtest.get(common + 24, 2)
        if not size:
            raise Failure(f"queue {index} does not exist")
        notify = self._notify + self._qtest.get(common + 30, 2) * self._notify_step
        queue = self.queues[index] = Queue(self._qtest, index, size, notify)
        self._qtest.set(common + 26, 2, 0xFFFF)  # no interrupt vector: the rings are polled
        for register, part in ((32, 0), (40, AVAIL), (48, USED)):
            self._qtest.set(common + register, 4, queue.base + part)
            self._qtest.set(common + register + 4, 4, 0)
        self._qtest.set(common + 28, 2, 1)
        return queue

    @staticmethod
    def _post_receive(queue):
        while queue.free_slots():
            queue.post([(SLOT_SIZE, WRITE)])
        queue.kick()

    def send(self, pair, frames):
        """Puts frames on the from_guest queue of a pair and kicks it once."""
        queue = self.queues[2 * pair + 1]
        for frame in frames:
            while not queue.free_slots():
                queue.wait_used()
            self._qtest.write(queue.buffer(queue.next_slot()), bytes(NET_HEADER) + frame)
            queue.post([(NET_HEADER, 0), (len(frame), 0)])
        queue.kick()

    def receive(self, pair):
        """Waits for the next frame on the to_guest queue of a pair, and posts its buffer again."""
        return self._read_frame(pair, *self.queues[2 * pair].wait_used())

    def arrived(self, pair):
        """Like `receive`, but without waiting: returns the next frame or None."""
        used = self.queues[2 * pair].take_used()
        return used and self._read_frame(pair, *used)

    def _read_frame(self, pair, slot, written):
        queue = self.queues[2 * pair]
        data = self._qtest.read(queue.buffer(slot), written)
        self._post_receive(queue)
        buffers = int.from_bytes(data[10:NET_HEADER], "little")
        if buffers != 1:  # mergeable buffers are never negotiated here
            raise Failure(f"pair {pair}: num_buffers in the net header\n"
                          f"  expected: 1\n  seen:     {buffers} in {written} bytes")
        return data[NET_HEADER:]

    def finish_sent(self, pair):
        """Waits until the device has used every frame of the from_guest queue of a pair."""
        queue = self.queues[2 * pair + 1]
        while queue.in_flight():
            queue.wait_used()

    def free_sent(self, pair):
        """Takes back the from_guest frames of a pair that the device has used, without waiting."""
        while self.queues[2 * pair + 1].take_used():
            pass

    def move(self, qtest):
        """Continues in a copy of the machine, as after a migration.

        Returns {pair: frames that were not sent}.
        """
        self._qtest = qtest
        self._pci = PciFunction(qtest, self._slot)
        undone = {index: queue.move(qtest) for index, queue in self.queues.items()}
        return {index // 2: count for index, count in undone.items() if index % 2 == 1}

    def submit(self, command_class, command, data=b""):
        """Puts a command on the control queue and kicks it. Returns the address of its answer."""
        queue = self.control
        slot = queue.next_slot()
        self._qtest.write(queue.buffer(slot), bytes([command_class, command]) + data + b"\xaa")
        pieces = [(2, 0)] + ([(len(data), 0)] if data else []) + [(1, WRITE)]
        queue.post(pieces)
        queue.kick()
        return queue.buffer(slot) + 2 + len(data)

    def answer(self, address):
        """Waits until the oldest command is used, and returns its answer byte at `address`."""
        self.control.wait_used()
        return self._qtest.get(address, 1)

    def positions(self):
        """Returns {queue: used index in memory} of the data queues."""
        return {i: q.device_used() for i, q in self.queues.items() if q is not self.control}
