# SPDX-License-Identifier: BSD-3-Clause
"""A split ring with fixed entries: entry N of the avail ring is always descriptor N.

The device completes chains in order. So used entries can be made available again by moving one
index, and a driver in Python is fast enough to keep the device busy.
"""

import struct

NEXT, WRITE = 1, 2
NO_INTERRUPT = 1


def ring_bytes(size):
    """Returns the memory that a ring of `size` entries needs, in whole pages."""
    return 26 * size + 0x3FFF & ~0xFFF


class Ring:
    """A ring in `memory` from `offset` on; the memory begins at `iova` for the device."""

    def __init__(self, memory, offset, size, iova):
        self.size = size
        self._memory = memory
        self._desc = offset
        self._avail = offset + 16 * size
        self._used = (self._avail + 4 + 2 * size + 0xFFF) & ~0xFFF
        self.addresses = [iova + part for part in (self._desc, self._avail, self._used)]
        self.avail = 0
        memory.bytes_[offset:offset + ring_bytes(size)] = bytes(ring_bytes(size))
        entries = self._avail // 2 + 2
        memory.words[entries:entries + size] = memoryview(
            struct.pack(f"={size}H", *range(size))).cast("H")
        memory.words[self._avail // 2] = NO_INTERRUPT

    def set(self, index, address, length, flags=0, following=0):
        """Sets descriptor `index`."""
        at = self._desc + 16 * index
        self._memory.bytes_[at:at + 16] = struct.pack("=QIHH", address, length, flags, following)

    def set_all(self, address, length, flags=0):
        """Sets all descriptors to one buffer."""
        self._memory.bytes_[self._desc:self._avail] = struct.pack(
            "=QIHH", address, length, flags, 0) * self.size

    def set_raw(self, table):
        """Sets the whole descriptor table."""
        self._memory.bytes_[self._desc:self._avail] = table

    def set_entry(self, position, head):
        """Sets an entry of the avail ring."""
        self._memory.words[self._avail // 2 + 2 + position] = head

    def post(self, count):
        """Makes the next `count` entries available."""
        self.avail = self.avail + count & 0xFFFF
        self._memory.words[self._avail // 2 + 1] = self.avail

    def used(self):
        """Returns the device's used index."""
        return self._memory.words[self._used // 2 + 1]

    def pending(self):
        """Returns how many entries the device still has."""
        return self.avail - self.used() & 0xFFFF

    def element(self, index):
        """Returns (head, written bytes) of a used entry."""
        at = self._used + 4 + 8 * (index % self.size)
        return struct.unpack("=II", self._memory.bytes_[at:at + 8])
