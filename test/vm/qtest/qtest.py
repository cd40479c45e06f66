# SPDX-License-Identifier: BSD-3-Clause
"""Access to a QEMU machine's memory, ports and PCI devices over the -qtest socket.

The socket replaces the CPU: QEMU executes a line such as "writeb 0xfe000014 0xf" as that access,
and answers with "OK" and a value. It answers when the access is complete, including all actions of
the device's handler.
"""

from .wait import Failure, connect

BAR_WINDOW = 0xE0000000  # above the guest's memory, below the chipset's own devices
CAPABILITY_VENDOR = 0x09


class Qtest:
    """The machine: guest memory by read/write/fill, registers by their exact width."""

    _WIDTH = {1: "b", 2: "w", 4: "l", 8: "q"}

    def __init__(self, path):
        self._stream = connect(path)

    def command(self, line):
        """Runs one line, and returns the words that follow OK."""
        self._stream.send(line)
        while True:
            answer = self._stream.receive()
            if answer.startswith("OK"):
                return answer.split()[1:]
            if answer.startswith(("FAIL", "ERR")):
                raise Failure(f"qtest {line[:80]!r} answered {answer!r}")

    def read(self, address, size):
        return bytes.fromhex(self.command(f"read {address:#x} {size:#x}")[0][2:])

    def write(self, address, data):
        self.command(f"write {address:#x} {len(data):#x} 0x{data.hex()}")

    def fill(self, address, size, value=0):
        self.command(f"memset {address:#x} {size:#x} {value:#x}")

    def get(self, address, width):
        """Reads a register of `width` bytes, or a little-endian number in memory."""
        return int(self.command(f"read{self._WIDTH[width]} {address:#x}")[0], 16)

    def set(self, address, width, value):
        self.command(f"write{self._WIDTH[width]} {address:#x} {value:#x}")


class PciFunction:
    """Function 0 of the device in `slot` of bus 0, through the configuration ports."""

    def __init__(self, qtest, slot):
        self._qtest = qtest
        self._slot = slot

    def _select(self, offset):
        self._qtest.command(f"outl 0xcf8 {0x80000000 | self._slot << 11 | offset & ~3:#x}")

    def get(self, offset):
        self._select(offset)
        return int(self._qtest.command("inl 0xcfc")[0], 16)

    def set(self, offset, value):
        self._select(offset)
        self._qtest.command(f"outl 0xcfc {value:#x}")

    def enable(self):
        """Sets the address of every memory BAR, and turns memory and bus mastering on.

        Returns {BAR: address}.
        """
        bars = {}
        address = BAR_WINDOW
        number = 0
        while number < 6:
            register = 0x10 + 4 * number
            kind = self.get(register)
            wide = kind & 7 == 4  # a 64-bit memory BAR takes two registers
            self.set(register, 0xFFFFFFFF)
            mask = self.get(register) & ~0xF
            if mask and not kind & 1:
                size = -mask & 0xFFFFFFFF
                address = (address + size - 1) & -size
                self.set(register, address)
                if wide:
                    self.set(register + 4, 0)
                bars[number] = address
                address += size
            number += 2 if wide else 1
        self.set(4, self.get(4) & 0xFFFF | 6)
        return bars

    def capabilities(self, wanted=CAPABILITY_VENDOR):
        """Returns the offsets of all capabilities with this id."""
        offset = self.get(0x34) & 0xFF
        while offset:
            header = self.get(offset)
            if header & 0xFF == wanted:
                yield offset
            offset = header >> 8 & 0xFF
