# SPDX-License-Identifier: BSD-3-Clause
"""A QEMU that has a vhost-vdpa network device and no guest software.

The processor runs a small custom BIOS that only halts; the test drives the machine over its -qtest
socket. QEMU's vhost_vdpa_* traces show its requests to the kernel, one line each: a name, then
"field: value" pairs. The content of every address space follows from dma_map and dma_unmap. The
kernel passes only shared file mappings on to VDUSE; /proc/PID/maps shows which memory is one.
"""

import os
import re
import signal
import subprocess
from collections import namedtuple

from .qmp import Qmp
from .qtest import Qtest
from .regions import merge
from .wait import Failure, until

Event = namedtuple("Event", "name fields")  # vhost_vdpa_ cut off the name; numbers by field
Mapping = namedtuple("Mapping", "iova size address perm")  # address: QEMU's own

_EVENT = re.compile(r"vhost_vdpa_([a-z_]+) (.*)")
_FIELD = re.compile(r"([a-z_]+):? ?(0x[0-9a-f]+|\d+)\b")
_PERM = {1: "r-", 2: "-w", 3: "rw"}


def write_halting_bios(path):
    """Returns 64 KiB with, at the reset vector 16 bytes before the end: cli; hlt; jmp to hlt."""
    image = bytearray(b"\x90" * 0x10000)
    image[0xFFF0:0xFFF4] = b"\xfa\xf4\xeb\xfd"
    with open(path, "wb") as file:
        file.write(image)


class Qemu:
    """One running QEMU; `qmp` and `qtest` talk to it."""

    def __init__(self, command, folder, vhost, mac, options="mq=on,ctrl_vq=on", memory_mib=256,
                 incoming=False, processor="tcg"):
        """Starts `command` (a list: the binary, and what must come before it).

        `folder` holds BIOS, sockets and output, and has the same path for QEMU and for the test.
        `incoming`: the machine waits for a migration, which QMP's migrate-incoming starts.
        `processor`: "qtest" for no processor at all, which Debian 12's QEMU does not support.
        """
        os.makedirs(folder, exist_ok=True)
        bios, pid_file = f"{folder}/halt.bin", f"{folder}/pid"
        self.output = f"{folder}/output"
        write_halting_bios(bios)
        for name in ("qmp", "qtest", "pid"):
            if os.path.exists(f"{folder}/{name}"):
                os.unlink(f"{folder}/{name}")
        with open(self.output, "wb") as output:
            self._process = subprocess.Popen(
                [*command, "-accel", processor, "-bios", bios, "-m", str(memory_mib),
                 "-object", f"memory-backend-memfd,id=memory,size={memory_mib}M,share=on",
                 "-machine", "pc,memory-backend=memory", "-nodefaults", "-vga", "none",
                 "-display", "none", "-serial", "none", "-monitor", "none", "-pidfile", pid_file,
                 "-netdev", f"vhost-vdpa,id=net,vhostdev={vhost}",
                 "-device", "virtio-net-pci,netdev=net,addr=04.0,disable-legacy=on,romfile=,"
                 f"mac={mac},{options}",
                 "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
                 "-qtest", f"unix:{folder}/qtest,server=on,wait=off", "-qtest-log", "/dev/null",
                 "-trace", "vhost_vdpa_*", *(["-incoming", "defer"] if incoming else [])],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        until("QEMU's pid file", lambda: self._alive() and os.path.exists(pid_file), 60)
        self.qmp = Qmp(f"{folder}/qmp")
        self.qtest = Qtest(f"{folder}/qtest")
        with open(pid_file, encoding="ascii") as file:
            self.pid = int(file.read())

    def _alive(self):
        if self._process.poll() is not None:
            text = "\n".join(self.messages())
            raise Failure(f"QEMU exited, status {self._process.returncode}:\n{text}")
        return True

    def quit(self):
        self.qmp.command("quit")
        self._process.wait(60)

    def wait_exit(self):
        """Waits until it exits by itself, and returns its status."""
        until("the end of QEMU", lambda: self._process.poll() is not None, 60)
        return self._process.returncode

    def kill(self):
        """Sends SIGKILL: QEMU cannot make any more requests to the kernel."""
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait(60)

    def guest_memory(self, address, size):
        """Returns guest memory below 3 GiB, read without QEMU's help."""
        folder = f"/proc/{self.pid}/fd"
        name = next(f"{folder}/{fd}" for fd in os.listdir(folder)
                    if os.readlink(f"{folder}/{fd}").startswith("/memfd:memory-backend"))
        with open(name, "rb") as memory:
            memory.seek(address)
            return memory.read(size)

    def _lines(self):
        with open(self.output, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def messages(self):
        """Returns QEMU's output lines other than traces."""
        return [line for line in self._lines() if not _EVENT.search(line)]

    def events(self, *names):
        """Returns all events so far, or only those with the given names."""
        found = []
        for line in self._lines():
            match = _EVENT.search(line)
            if match and (not names or match[1] in names):
                fields = {k: int(v, 0) for k, v in _FIELD.findall(match[2])}
                found.append(Event(match[1], fields))
        return found

    def mappings(self, asid):
        """Returns QEMU's current mappings in an address space."""
        mapped = []
        for name, fields in self.events("dma_map", "dma_unmap"):
            if fields["asid"] != asid:
                continue
            iova, size = fields["iova"], fields["size"]
            if name == "dma_map":
                mapped.append(Mapping(iova, size, fields["uaddr"], _PERM[fields["perm"]]))
            else:
                mapped = [m for m in mapped if m.iova + m.size <= iova or m.iova >= iova + size]
        return mapped

    def _shared_memory(self):
        """Returns [start, end) of QEMU's shared mappings."""
        with open(f"/proc/{self.pid}/maps", encoding="ascii", errors="replace") as maps:
            for line in maps:
                addresses, flags = line.split()[:2]
                if flags[3] == "s":
                    yield tuple(int(x, 16) for x in addresses.split("-"))

    def regions(self, asid):
        """Returns the regions that the device must have in an address space."""
        shared = list(self._shared_memory())
        regions = []
        for mapping in self.mappings(asid):
            for start, end in shared:
                first = max(start, mapping.address)
                last = min(end, mapping.address + mapping.size) - 1
                if first <= last:
                    offset = mapping.iova - mapping.address
                    regions.append((first + offset, last + offset, mapping.perm))
        return merge(regions)
