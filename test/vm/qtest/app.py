"""The stats that vduse-dp prints every second, read from its log.

A block starts with "vd0: link ..." and ends with the line of the MAC address; lines of other
kinds may stand between. Only a block whose start was printed after the question counts as an
answer, so that no check is satisfied by the past.
"""

import errno
import os
import re

from .regions import merge
from .wait import until

_HEAD = re.compile(r"(\w+): link (up|down), status (\w+), features (\w+), "
                   r"pairs (\d+) of (\d+)$")
_GROUP = re.compile(r"  group (\d+) (\w+) +asid (\d+) +queues (\S+)")
_SPACE = re.compile(r"  space (\d+): (\d+) regions?(?:: (.*))?$")
_REGION = re.compile(r"(0x[0-9a-f]+)-(0x[0-9a-f]+) ([r-][w-])")
_PAIR = re.compile(r"  pair (\d+): from_guest (\d+) frames (\d+) bytes (\d+) dropped, "
                   r"to_guest (\d+) frames (\d+) bytes (\d+) dropped")
_CONTROL = re.compile(r"  control: (\d+) commands?, (\d+) refused")
_FILTER = re.compile(r"  mac ([0-9a-f:]{17}), promisc (\w+), allmulti (\w+), (\d+) unicast, "
                     r"(\d+) multicast, (\d+) vlans?")


class Stats:
    """One block: `status`, `groups` {number: asid}, `queues` {number: text}, `spaces`
    {number: regions}, `pairs` {number: six counters}, `control` (commands, refused), `filter`."""

    def __init__(self, head, lines):
        self.text = "\n".join([head[0], *lines])
        self.link, self.status = head[2], int(head[3], 0)
        self.features, self.active_pairs = int(head[4], 0), int(head[5])
        self.groups, self.queues, self.spaces, self.pairs = {}, {}, {}, {}
        self.control = self.filter = None
        for line in lines:
            if match := _GROUP.match(line):
                self.groups[int(match[1])] = int(match[3])
                self.queues[int(match[1])] = match[4]
            elif match := _SPACE.match(line):
                regions = [(int(a, 0), int(b, 0), perm)
                           for a, b, perm in _REGION.findall(match[3] or "")]
                if len(regions) != int(match[2]):
                    raise ValueError(f"cannot read {line!r}")
                self.spaces[int(match[1])] = merge(regions)
            elif match := _PAIR.match(line):
                self.pairs[int(match[1])] = tuple(int(x) for x in match.groups()[1:])
            elif match := _CONTROL.match(line):
                self.control = int(match[1]), int(match[2])
            elif match := _FILTER.match(line):
                self.filter = match.groups()


class App:
    """The log of a running vduse-dp."""

    def __init__(self, log, device="vd0"):
        self._log, self._device = log, device

    def _blocks(self, offset):
        """Complete blocks of the device that start at or after a byte offset of the log."""
        with open(self._log, "rb") as file:
            file.seek(offset)
            try:
                data = file.read()
            except OSError as error:
                if error.errno != errno.ENODATA:  # 9p: the file grew while its end was read
                    raise
                return
        lines = data.decode(errors="replace").split("\n")[:-1]
        head, body = None, []
        for line in lines:
            if (match := _HEAD.match(line)) and match[1] == self._device:
                head, body = match, []
            elif head and line.startswith("  "):
                body.append(line)
                if _FILTER.match(line):
                    yield Stats(head, body)
                    head = None

    def stats(self, what="another block of stats", condition=lambda stats: True, seconds=20.0):
        """The first block from now on that satisfies a condition."""
        offset = os.path.getsize(self._log)
        last = []

        def look():
            last[:] = list(self._blocks(offset))[-1:]
            return last and condition(last[0]) and last[0]

        return until(what, look, seconds, lambda: last[0].text if last else "no block of stats")
