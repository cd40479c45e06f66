# SPDX-License-Identifier: BSD-3-Clause
"""A device of a running vduse-dp, as telemetry and the kernel report it."""

import glob
import re
from collections import namedtuple
from datetime import datetime

from lab.ask import ask, process_id

from .regions import merge
from .wait import Failure, until

Event = namedtuple("Event", "time what ok took")  # seconds since 1970; seconds

_EVENT = re.compile(r"(\S+)Z (.*): (ok|failed), (\d+) us$")
_REGION = re.compile(r"(0x[0-9a-f]+)-(0x[0-9a-f]+) ([r-][w-])")


def regions_of(info, asid):
    """Returns the merged regions of one of a device's spaces."""
    space = info["spaces"].get(str(asid), {"region_count": 0, "regions": []})
    if len(space["regions"]) != space["region_count"]:
        raise Failure(f"space {asid} has more regions than telemetry lists: {space}")
    return merge([(int(a, 0), int(b, 0), perm) for line in space["regions"]
                  for a, b, perm in _REGION.findall(line)])


def is_unused(info):
    """Returns whether no driver uses the device."""
    return info["status"] == "0x0" and not any(
        space["region_count"] for space in info["spaces"].values())


class Device:
    """`prefix` is the value of its vduse-dp's EAL option --file-prefix."""

    def __init__(self, name, prefix="rte"):
        self.name, self._prefix = name, prefix

    def _ask(self, command, *parameters):
        return ask(",".join([f"/vduse/{command}", self.name, *parameters]), self._prefix)

    def process_id(self):
        """Returns the pid of its vduse-dp, which is also the control thread's id."""
        return process_id(self._prefix)

    def vhost(self):
        """Returns its /dev/vhost-vdpa-N for QEMU, once it is attached."""
        found = glob.glob(f"/sys/bus/vdpa/devices/{self.name}/vhost-vdpa-*")
        return found and f"/dev/{found[0].split('/')[-1]}"

    def info(self):
        return self._ask("info")

    def stats(self):
        return self._ask("stats")

    def queue(self, index):
        return self._ask("queue", str(index))

    def regions(self, asid):
        """Returns the merged regions of one of its spaces."""
        return regions_of(self.info(), asid)

    def wait_for(self, what, condition, seconds=20.0):
        """Waits until `condition` holds for the info, and returns the info."""

        def info():
            seen = self.info()
            return condition(seen) and seen

        return until(what, info, seconds, self.info)

    def frames_from_guest(self, pair):
        return self.queue(2 * pair + 1)["stats"]["frames"]

    def events(self):
        """Returns the last messages from the kernel."""
        events = []
        for line in self._ask("events"):
            time, what, answer, took = _EVENT.match(line).groups()
            events.append(Event(datetime.fromisoformat(f"{time}+00:00").timestamp(), what,
                                answer == "ok", int(took) / 1e6))
        return events

    def control_state(self):
        """Returns the state that control queue commands have set."""
        info = self.info()
        return {key: info[key] for key in ("mac", "promiscuous", "all_multicast", "unicast",
                                           "multicast", "vlans", "active_pairs")}

    def unused(self):
        """Returns whether no driver uses it."""
        return is_unused(self.info())
