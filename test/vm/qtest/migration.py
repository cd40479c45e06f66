# SPDX-License-Identifier: BSD-3-Clause
"""Migrates a machine from one QEMU and device to another, under frames.

A low bandwidth keeps a migration from completing while the shadowed queues are tested. QEMU's
minimum is 32 KiB in a tenth of a second, so BALLAST must not be zeros.

Frames are under way all the time. The driver may act after its machine has stopped; this is undone
at the destination (VirtioNet.move). It works only if the machine has no processor of QEMU's own,
not even a halted one. With one, a migration releases QEMU's lock again after its last check for
dirty pages. Data written to a clean page then is not sent, but the avail index, in a dirty page,
is.
"""

import os
import shlex

from . import regions
from .qemu import Qemu
from .traffic import Traffic
from .virtio_net import QUEUE_MEMORY, VirtioNet
from .wait import Failure, expect, until

MEMORY_MIB = 32
DATA_QUEUES = range(4)
CONTROL_QUEUE = 4
SLOW, FAST = 100, 1 << 33  # bytes a second
BALLAST = 0x400000, QUEUE_MEMORY - 0x400000  # address and size


class Place:
    """A device, and the QEMU that has it open, if any."""

    def __init__(self, device, folder):
        self.device, self.folder, self.qemu = device, f"{folder}/{device.name}", None

    def start_qemu(self, command, mac, incoming=False):
        vhost = until(f"{self.device.name} on the vDPA bus", self.device.vhost)
        self.qemu = Qemu(shlex.split(command), self.folder, vhost, mac, memory_mib=MEMORY_MIB,
                         incoming=incoming, processor="qtest")

    def running(self):
        return all(self.device.queue(i)["running"] == "yes"
                   for i in (*DATA_QUEUES, CONTROL_QUEUE))

    def isolated(self):
        return self.running() and self.device.info()["groups"]["1"]["asid"] == 1

    def check_regions(self):
        """Checks that vduse-dp's regions are QEMU's mappings."""
        for asid in (0, 1):
            expect(f"regions of space {asid} of {self.device.name}",
                   regions.text(self.device.regions(asid)), regions.text(self.qemu.regions(asid)))

    def check_order(self):
        """Checks the order: control queue ready, QEMU's commands answered, data queues ready.

        Returns the number of commands.
        """
        ready = [e.what for e in self.device.events()
                 if e.what.startswith("SET_VQ_READY") and e.what.endswith(" 1")]
        expect("queues in the order in which they became ready", ready[-5:],
               [f"SET_VQ_READY queue {i} ready 1" for i in (CONTROL_QUEUE, *DATA_QUEUES)])
        seen = [e.fields.get("idx", e.name)
                for e in self.qemu.events("net_load_cmd", "set_vring_enable_one")]
        commands = seen[seen.index(CONTROL_QUEUE) + 1:seen.index(0)]
        if not commands or set(commands) != {"net_load_cmd"}:
            raise Failure("between the control queue and the data queues\n"
                          f"  expected: commands\n  seen:     {commands} in {seen}")
        return len(commands)

    def abandon(self):
        """Kills its QEMU and waits until the device is unused."""
        if self.qemu:
            self.qemu.kill()
        self.qemu = None
        until(f"{self.device.name}: no driver and no regions", self.device.unused, 20,
              self.device.info)


class Machine:
    """The machine with its driver; `place` is where it runs now."""

    def __init__(self, place, command, mac, source):
        """`source`: the MAC address from which it sends."""
        self.place, self._command, self._mac, self._source = place, command, mac, source
        place.start_qemu(command, mac)
        place.qemu.qtest.fill(*BALLAST, 0x5A)
        self.net = VirtioNet(place.qemu.qtest)
        self.traffic = Traffic(self.net)
        self.net.probe()

    def command(self, command_class, command, data=b""):
        return self.net.answer(self.net.submit(command_class, command, data))

    def begin(self, target, return_path):
        """Starts a migration that does not end before `complete`; QEMU shadows the data queues."""
        target.start_qemu(self._command, self._mac, incoming=True)
        uri = f"unix:{target.folder}/incoming"
        if os.path.exists(f"{target.folder}/incoming"):
            os.unlink(f"{target.folder}/incoming")
        source = self.place.qemu.qmp
        for qmp in (source, target.qemu.qmp):
            qmp.command("migrate-set-capabilities", capabilities=[
                {"capability": "return-path", "state": return_path}])
        target.qemu.qmp.command("migrate-incoming", uri=uri)
        source.command("migrate-set-parameters", **{"max-bandwidth": SLOW, "downtime-limit": 0})
        source.command("migrate", uri=uri)
        self.until("data queues that QEMU shadows", self.shadowed)

    def shadowed(self):
        """Returns whether every data queue runs on a ring other than the driver's."""
        queues = {i: self.place.device.queue(i) for i in DATA_QUEUES}
        return all(queue["running"] == "yes" and int(queue["desc"], 0) != self.net.queues[i].base
                   for i, queue in queues.items())

    def complete(self):
        """Lets the migration complete, and returns the result of query-migrate."""
        qmp = self.place.qemu.qmp
        qmp.command("migrate-set-parameters", **{"max-bandwidth": FAST, "downtime-limit": 300})
        return self.until_ended()

    def cancel(self):
        self.place.qemu.qmp.command("migrate_cancel")
        return self.until_ended()

    def until_ended(self):
        return self.until("the end of the migration", self.place.qemu.qmp.migration_ended)

    def until(self, what, condition):
        """Waits until `condition` holds, with frames under way on both pairs."""
        def turn_and_look():
            self.traffic.turn(2, self._source)
            return condition()
        return until(what, turn_and_look, 30, self.place.device.info)

    def arrive(self, target):
        """Continues at the destination, with all positions kept. Returns the source."""
        left, self.place = self.place, target
        positions = self.net.positions()
        target.qemu.qmp.wait_event("RESUME")
        self.traffic.move(target.qemu.qtest)
        given = {e.fields["index"]: e.fields["num"]
                 for e in target.qemu.events("set_dev_vring_base")}
        expect("positions given to the destination, by queue",
               {i: given.get(i) for i in DATA_QUEUES}, positions)
        self.traffic.settle(2, self._source)
        return left


class Pause:
    """The messages to both devices from the source's SUSPEND to the destination's last queue."""

    def __init__(self, source, target):
        events = source.events()
        self.source = events[max(i for i, e in enumerate(events) if e.what == "SUSPEND"):]
        self.begin = self.source[0].time
        self.target = [e for e in target.events() if e.time >= self.begin]

    def text(self):
        def share(events):
            return f"{sum(e.took for e in events) * 1e3:.1f} ms ({len(events)} messages)"
        last = self.target[-1]
        return (f"{(last.time + last.took - self.begin) * 1e3:.0f} ms from SUSPEND to the last "
                f"queue, of which ours: source {share(self.source)}, "
                f"destination {share(self.target)}")

    def check_mappings(self, times):
        """Checks that guest memory is not mapped again while QEMU unmaps its rings one by one.

        `times`: the times of all large mappings that the source's vduse-dp has made.
        """
        reset = next(e.time for e in self.source if e.what == "SET_STATUS 0x0")
        updates = [e for e in self.source if e.time < reset
                   and e.what.startswith("UPDATE_IOTLB asid 0 ")]
        if len(updates) < 2 * len(DATA_QUEUES) or not times:
            raise Failure(f"there is nothing to see: {len(times)} mappings, "
                          f"{[e.what for e in self.source]}")
        expect("mappings of guest memory from SUSPEND to reset",
               [time for time in times if self.begin <= time <= reset], [])
