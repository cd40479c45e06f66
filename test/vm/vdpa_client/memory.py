# SPDX-License-Identifier: BSD-3-Clause
"""Memory that a VDUSE device can access: shared file mappings."""

import ctypes
import mmap
import os


class Memory:
    """`size` bytes of a new file.

    `bytes_` is for contents, `words` for 16-bit indexes, which must be stored atomically, and
    `address` for the kernel.
    """

    def __init__(self, size):
        fd = os.memfd_create("vdpa_client")
        os.ftruncate(fd, size)
        mapped = mmap.mmap(fd, size)
        os.close(fd)
        self.size = size
        self.bytes_ = memoryview(mapped)
        self.words = self.bytes_.cast("H")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
