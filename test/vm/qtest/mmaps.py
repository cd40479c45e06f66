# SPDX-License-Identifier: BSD-3-Clause
"""The times of large memory mappings, from the kernel's trace of system calls."""

import os
import re
import subprocess
import time

_TRACING = "/sys/kernel/tracing"
_LINE = re.compile(r"-(\d+) .* (\d+\.\d+): sys_mmap\(")


class Mmaps:
    """Records the mmaps of at least `size` bytes by `threads` from now on."""

    def __init__(self, threads, size):
        if not os.path.exists(f"{_TRACING}/trace"):
            subprocess.run(["mount", "-t", "tracefs", "none", _TRACING], check=True)
        these = " || ".join(f"common_pid == {thread}" for thread in threads)
        self._set("trace_clock", "mono")
        self._set("events/syscalls/sys_enter_mmap/filter", f"len >= {size} && ({these})")
        self._set("events/syscalls/sys_enter_mmap/enable", "1")
        self._set("tracing_on", "1")

    @staticmethod
    def _set(name, value):
        with open(f"{_TRACING}/{name}", "w", encoding="ascii") as file:
            file.write(value)

    def times(self, thread):
        """Returns the times of all its mmaps, in seconds since 1970."""
        offset = time.time() - time.monotonic()
        with open(f"{_TRACING}/trace", encoding="ascii", errors="replace") as trace:
            found = _LINE.findall(trace.read())
        return [float(seconds) + offset for number, seconds in found if int(number) == thread]
