# SPDX-License-Identifier: BSD-3-Clause
"""Starts a vduse-dp from a test; it is killed, and the next one follows."""

import re
import subprocess

from qtest.wait import Failure, expect, until

_READY = re.compile(r"vduse-dp: ready \(EAL (\d+) ms, devices (\d+) ms, ports (\d+) ms\)")


class Life:
    """One process; its output is appended to the file `log`."""

    def __init__(self, command, log):
        self._log = log
        with open(log, "ab") as output:
            self._begin = output.tell()
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                             stdin=subprocess.DEVNULL)

    def text(self):
        with open(self._log, encoding="utf-8", errors="replace") as log:
            log.seek(self._begin)
            return log.read()

    def ready(self):
        """Waits until it is ready, and returns the times of EAL, devices and ports in ms."""

        def times():
            status = self._process.poll()
            if status is not None:
                raise Failure(f"vduse-dp ended with status {status}:\n{self.text()}")
            return _READY.search(self.text())

        return tuple(int(number) for number in until("vduse-dp is ready", times, 60).groups())

    def went_on(self, devices):
        """Checks that it adopted that many devices and logged no complaint."""
        lines = self.text().splitlines()
        expect("devices with which it goes on", sum(
            "adopted the existing device" in line for line in lines), devices)
        odd = [line for line in lines if re.match("VDUSE:|vduse-dp:", line)
               and not re.search("ready|adopted|driver (ready|gone)", line)]
        expect("complaints", odd, [])

    def comes_to_say(self, text):
        """Waits until it prints `text`; returns false if it ends first."""
        until(f"vduse-dp dies or says {text!r}", lambda: self.gone() or text in self.text(), 40, self.text)
        return not self.gone()

    def gone(self):
        return self._process.poll() is not None

    def kill(self):
        self._process.kill()
        self._process.wait()

    def end(self):
        """Ends it as a user would; fails unless its exit status is 0."""
        self._process.terminate()
        expect("status of vduse-dp", self._process.wait(60), 0)
