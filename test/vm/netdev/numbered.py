# SPDX-License-Identifier: BSD-3-Clause
"""Runs the program `numbered` (numbered.cc): frames both ways between two netdevs, all counted."""

import subprocess
from collections import namedtuple

from qtest.wait import Failure, until

PROGRAM = "/build/test/numbered"
# What one direction received since the last report; `pause` is in seconds.
Books = namedtuple("Books", "frames missing repeated late damaged pause")


class Numbered:
    """`places`: two of NETDEV@NAMESPACE."""

    def __init__(self, window, *places):
        self._process = subprocess.Popen([PROGRAM, str(window), *places], text=True, bufsize=1,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.under_way = 0

    def report(self, order=""):
        """Returns the Books of both directions since the last report."""
        try:
            self._process.stdin.write(order + "\n")
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        if not line or line.startswith("FAIL"):
            raise Failure(line.removeprefix("FAIL: ").strip() or "`numbered` has ended")
        *numbers, self.under_way = (int(word) for word in line.split())
        return tuple(Books(*one[:5], one[5] / 1e6) for one in (numbers[:6], numbers[6:]))

    def flows(self, frames, earlier=None, seconds=60.0):
        """Waits until `frames` more frames have arrived each way.

        Returns the books until then, with those of `earlier` added.
        """
        sums = [Books(0, 0, 0, 0, 0, 0.0)] * 2

        def enough():
            sums[:] = map(_add, sums, self.report())
            return min(one.frames for one in sums) >= frames

        until(f"{frames} frames each way", enough, seconds, lambda: sums)
        return tuple(map(_add, earlier, sums)) if earlier else tuple(sums)

    def stop(self):
        """Stops sending, waits until all sent frames have arrived, and returns the last books."""
        sums = list(self.report("stop"))

        def drained():
            sums[:] = map(_add, sums, self.report())
            return not self.under_way

        until("the last frames", drained, 20, lambda: f"{self.under_way} under way, {sums}")
        self._process.stdin.close()
        self._process.wait(20)
        return tuple(sums)


def _add(a, b):
    return Books(*(x + y for x, y in zip(a[:5], b[:5])), max(a.pause, b.pause))
