# SPDX-License-Identifier: BSD-3-Clause
"""The driver of a virtio-net device on vhost-vdpa."""

import os
import struct
import time

from qtest.wait import Failure, until

from .memory import Memory
from .ring import NEXT, WRITE, Ring, ring_bytes
from .vhost import Vhost

F_STATUS, F_CTRL_VQ, F_MQ = 1 << 16, 1 << 17, 1 << 22
F_VERSION_1, F_ACCESS_PLATFORM = 1 << 32, 1 << 33
SIMPLE = F_STATUS | F_VERSION_1 | F_ACCESS_PLATFORM
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK = 1, 2, 4, 8
HEADER = 12  # of virtio-net, before each frame
CONTROL_SIZE = 64


def frame(number, size=60):
    """Returns the frame of a number, and the frame that a reflecting device returns for it."""
    head = struct.pack(">HI", 0x88B5, number)
    payload = head + bytes((number + i) & 0xFF for i in range(size - 12 - len(head)))
    ours, theirs = bytes.fromhex("020000000001"), bytes.fromhex("0200000000fe")
    return theirs + ours + payload, ours + theirs + payload


def wait_used(ring, seconds=20.0):
    """Waits, without sleeping, until the device has used all available entries."""
    deadline = time.monotonic() + seconds
    while ring.pending():
        os.sched_yield()
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds:g} s in vain: {ring.pending()} entries are not used")


class Control:
    """The control queue's memory and eventfd."""

    def __init__(self, memory, kick, iova):
        self.memory, self.kick, self.iova, self.ring = memory, kick, iova, None


class Net:
    """A device; queue numbers are virtio's: 2 * pair for to_guest, 2 * pair + 1 for from_guest."""

    def __init__(self, path="/dev/vhost-vdpa-0", features=SIMPLE):
        self.vhost = Vhost(path)
        self.features = features
        self.control = None
        self.start_negotiation()
        self.pairs = 1
        if features & F_MQ:
            self.pairs, = struct.unpack("=H", self.vhost.config(8, 2))

    def start_negotiation(self):
        """Resets the device and sets features. Next set up spaces and queues; then `driver_ok`."""
        self.vhost.set_status(0)
        until("status 0", lambda: self.vhost.status() == 0)
        self.vhost.set_status(ACKNOWLEDGE | DRIVER)
        missing = self.features & ~self.vhost.features()
        if missing:
            raise Failure(f"the device does not offer features {missing:#x}")
        self.vhost.set_features(self.features)
        self.vhost.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK)
        if not self.vhost.status() & FEATURES_OK:
            raise Failure("the device refuses the features")

    def set_queue(self, index, ring):
        self.vhost.set_queue(index, ring.size, *ring.addresses)
        self.vhost.enable(index)

    def driver_ok(self):
        self.vhost.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)

    def set_control(self, iova, asid=0):
        """Sets up the control queue in its own memory at `iova`; call it again after each reset."""
        if self.control is None:
            memory = Memory(ring_bytes(CONTROL_SIZE) + 0x1000)
            self.vhost.map(iova, memory.size, memory.address, asid=asid)
            self.control = Control(memory, os.eventfd(0), iova)
        control, index = self.control, 2 * self.pairs
        control.ring = Ring(control.memory, 0, CONTROL_SIZE, iova)
        self.vhost.set_kick(index, control.kick)
        self.set_queue(index, control.ring)

    def command(self, command_class, command, data=b""):
        """Sends a control command and waits for the answer, which must be OK."""
        memory, ring, iova = self.control.memory, self.control.ring, self.control.iova
        text = bytes([command_class, command]) + data
        at = ring_bytes(CONTROL_SIZE)
        memory.bytes_[at:at + len(text) + 1] = text + b"\xaa"
        head = ring.avail % (CONTROL_SIZE // 2)  # its second descriptor is in the upper half
        ring.set(head, iova + at, len(text), NEXT, CONTROL_SIZE // 2 + head)
        ring.set(CONTROL_SIZE // 2 + head, iova + at + len(text), 1, WRITE)
        ring.set_entry(ring.avail % CONTROL_SIZE, head)
        ring.post(1)
        os.eventfd_write(self.control.kick, 1)
        until(f"an answer to command {command_class}/{command}", lambda: not ring.pending())
        if memory.bytes_[at + len(text)]:
            raise Failure(f"command {command_class}/{command} was refused")

    def close(self):
        self.vhost.close()
