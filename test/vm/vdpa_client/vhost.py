# SPDX-License-Identifier: BSD-3-Clause
"""The ioctls and messages of /dev/vhost-vdpa-N, as in linux/vhost.h."""

import fcntl
import os
import struct

READ, WRITE = 2, 1  # directions in an ioctl's number
RO, WO, RW = 1, 2, 3

BACKEND_FEATURES = 1 << 1 | 1 << 2 | 1 << 3  # messages version 2, batches, address spaces

_UPDATE, _INVALIDATE, _BATCH_BEGIN, _BATCH_END = 2, 3, 5, 6
_MESSAGE_V2 = 2
_MESSAGE_BYTES = 72


def _number(direction, number, size):
    return direction << 30 | size << 16 | 0xAF << 8 | number


class Vhost:
    """One open device. Opening and closing reset it."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._ioctl(0, 0x01)  # SET_OWNER
        self._ioctl(WRITE, 0x25, "Q", BACKEND_FEATURES)

    def close(self):
        os.close(self.fd)

    def _ioctl(self, direction, number, layout="", *values):
        """Calls the ioctl, and returns the values of the structure `layout` after the call."""
        data = bytearray(struct.pack(f"={layout}", *values))
        fcntl.ioctl(self.fd, _number(direction, number, len(data)), data)
        return struct.unpack(f"={layout}", data)

    # The device.

    def status(self):
        return self._ioctl(READ, 0x71, "B", 0)[0]

    def set_status(self, value):
        self._ioctl(WRITE, 0x72, "B", value)

    def features(self):
        return self._ioctl(READ, 0x00, "Q", 0)[0]

    def set_features(self, value):
        self._ioctl(WRITE, 0x00, "Q", value)

    def config(self, offset, length):
        data = bytearray(struct.pack("=II", offset, length) + bytes(length))
        fcntl.ioctl(self.fd, _number(READ, 0x73, 8), data)
        return bytes(data[8:])

    def spaces(self):
        return self._ioctl(READ, 0x7A, "I", 0)[0]

    def groups(self):
        return self._ioctl(READ, 0x81, "I", 0)[0]

    def group_of(self, queue):
        return self._ioctl(READ | WRITE, 0x7B, "II", queue, 0)[1]

    def set_group_asid(self, group, asid):
        self._ioctl(WRITE, 0x7C, "II", group, asid)

    # A queue.

    def set_queue(self, queue, size, desc, avail, used, base=0):
        self._ioctl(WRITE, 0x10, "II", queue, size)
        self._ioctl(WRITE, 0x12, "II", queue, base)
        self._ioctl(WRITE, 0x11, "IIQQQQ", queue, 0, desc, used, avail, 0)

    def queue_base(self, queue):
        return self._ioctl(READ | WRITE, 0x12, "II", queue, 0)[1]

    def set_kick(self, queue, eventfd):
        self._ioctl(WRITE, 0x20, "Ii", queue, eventfd)

    def enable(self, queue, on=1):
        self._ioctl(WRITE, 0x75, "II", queue, on)

    # Address spaces. Each call returns after the device has answered.

    def _message(self, kind, asid, iova=0, size=0, address=0, perm=0):
        message = struct.pack("=IIQQQBB", _MESSAGE_V2, asid, iova, size, address, perm, kind)
        os.write(self.fd, message.ljust(_MESSAGE_BYTES, b"\0"))

    def map(self, iova, size, address, perm=RW, asid=0):
        self._message(_UPDATE, asid, iova, size, address, perm)

    def unmap(self, iova, size, asid=0):
        self._message(_INVALIDATE, asid, iova, size)

    def begin(self, asid=0):
        """The following calls, up to `end`, become one change."""
        self._message(_BATCH_BEGIN, asid)

    def end(self, asid=0):
        self._message(_BATCH_END, asid)
