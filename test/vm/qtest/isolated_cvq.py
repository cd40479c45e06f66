# SPDX-License-Identifier: BSD-3-Clause
"""QEMU on vduse-dp, with the control queue in its own address space.

vduse-dp must be running, as `--device vd0,queues=2,... --reflect vd0`, attached to vhost_vdpa. The
steps below act as the guest's driver, and compare three sources: the driver's own rings, QEMU's
traces, and vduse-dp's telemetry.

usage: python3 -m qtest.isolated_cvq [options], see --help
"""

import argparse
import shlex
import struct
import sys
import time
from contextlib import contextmanager

from . import regions
from .device import Device, is_unused, regions_of
from .qemu import Qemu
from .traffic import Traffic
from .virtio_net import (ERR, F_ALL, F_CTRL_VLAN, F_CTRL_VQ, F_MQ, F_SIMPLE, OK, QUEUE_STRIDE,
                         VirtioNet)
from .wait import Failure, expect, until

OTHER_MAC = bytes.fromhex("02aabbccddee")
UNICAST, MULTICAST = bytes.fromhex("020000000099"), bytes.fromhex("333300000099")
OTHER_MULTICAST = bytes.fromhex("333300000098")
RX, MAC, VLAN, MQ, OFFLOADS = 0, 1, 2, 4, 5  # command classes


class Bench:
    """vduse-dp, one QEMU after another, and the driver of the QEMU."""

    def __init__(self, arguments):
        self._arguments = arguments
        self.device = Device("vd0")
        self.vlan = not arguments.no_vlan
        self.features = F_ALL if self.vlan else F_ALL & ~F_CTRL_VLAN
        self.mac_text = self.device.info()["mac"]
        self.mac = bytes.fromhex(self.mac_text.replace(":", ""))
        self.qemu = self.net = self.traffic = None
        self._messages = 0

    @contextmanager
    def step(self, text):
        """Prints the name of the step, and at its end QEMU's output without the traces."""
        print(f"-- {text}", flush=True)
        begin = time.monotonic()
        try:
            yield
            print(f"   ok, {time.monotonic() - begin:.1f} s", flush=True)
        except Failure as failure:
            raise Failure(f"{text}: {failure}") from failure
        finally:
            messages = self.qemu.messages() if self.qemu else []
            for line in messages[self._messages:]:
                print(f"   QEMU: {line}", flush=True)
            self._messages = len(messages)

    def start_qemu(self, options="mq=on,ctrl_vq=on"):
        self.qemu = Qemu(shlex.split(self._arguments.qemu), self._arguments.folder,
                         self._arguments.vhost, self.mac_text, options)
        self._messages = 0
        self.net = VirtioNet(self.qemu.qtest)
        self.traffic = Traffic(self.net)
        self.net.probe()

    def start_driver(self, pairs=2):
        """Starts a full driver, like an operating system's, with `pairs` pairs in use."""
        self.net.start(self.features)
        if pairs > 1:
            expect("answer to MQ_VQ_PAIRS_SET", self.command(MQ, 0, struct.pack("<H", pairs)), OK)

    def command(self, command_class, command, data=b""):
        return self.net.answer(self.net.submit(command_class, command, data))

    def check_spaces(self, isolated=True):
        """Checks that vduse-dp's regions are QEMU's mappings, and its groups are in QEMU's spaces.

        Returns (regions of space 0, regions of space 1).
        """
        spaces = [self.qemu.regions(asid) for asid in (0, 1)]

        def agrees(info):
            groups = [info["groups"][group]["asid"] for group in ("0", "1")]
            return (groups == [0, int(isolated)]
                    and [regions_of(info, asid) for asid in (0, 1)] == spaces)

        self.device.wait_for(
            f"group 0 in space 0, group 1 in space {int(isolated)}, as QEMU mapped:\n"
            f"  space 0: {regions.text(spaces[0])}\n"
            f"  space 1: {regions.text(spaces[1])}", agrees)
        return spaces

    def check_isolation(self, control_index):
        """Checks that the control queue's group is in space 1, without any guest memory there."""
        moved = self.qemu.events("set_address_space_id")
        expect("group and space in QEMU's last set_address_space_id",
               moved and (moved[-1].fields["vq_group"], moved[-1].fields["asid"]), (1, 1))
        space0, space1 = self.check_spaces()
        print(f"   space 0: {regions.text(space0)}\n   space 1: {regions.text(space1)}")
        if not space0 or not space1:
            raise Failure("a space is empty: there is nothing to compare")
        for queue in self.net.queues.values():
            inside = regions.overlapping(space1, queue.base, queue.base + QUEUE_STRIDE - 1)
            expect(f"regions of space 1 that hold memory of the guest's queue {queue.index}",
                   regions.text(inside), regions.text([]))
        guest = [(m.address, m.address + m.size - 1, m.perm) for m in self.qemu.mappings(0)]
        for mapping in self.qemu.mappings(1):
            last = mapping.address + mapping.size - 1
            expect(f"guest memory behind IOVA {mapping.iova:#x} of space 1",
                   regions.text(regions.overlapping(guest, mapping.address, last)),
                   regions.text([]))
        ring = [e.fields for e in self.qemu.events("set_vring_addr")
                if e.fields["index"] == control_index][-1]
        for part, perm in (("desc", "r-"), ("avail", "r-"), ("used", "rw")):
            address = ring[f"{part}_user_addr"]
            expect(f"permissions of the {part} ring of the control queue, at {address:#x}",
                   [r[2] for r in regions.overlapping(space1, address, address)], [perm])


def isolation(bench):
    with bench.step("start with two pairs: the control queue is in space 1, data in space 0"):
        bench.start_qemu()
        bench.start_driver()
        expect("control queue's index", bench.net.control.index, 4)
        bench.check_isolation(4)
        enabled = [e.fields["idx"] for e in bench.qemu.events("set_vring_enable_one")]
        expect("the queue that QEMU enabled first", enabled[:1], [4])
    with bench.step("frames on both pairs"):
        bench.traffic.check(2, bench.mac)


def commands(bench):
    """Sends every command while frames are under way, and checks its effect on frames."""
    net, traffic, mac = bench.net, bench.traffic, bench.mac
    device = bench.device

    def counted():
        """Returns the numbers of commands, refused commands, and guest frames on either pair."""
        stats = device.stats()
        return [stats["commands"], stats["refused"], *map(device.frames_from_guest, (0, 1))]

    before = counted()
    sent_before = dict(traffic.sent)
    count = 0

    def command(command_class, number, data, wanted=OK, pairs=2, source=mac):
        nonlocal count
        count += 1
        for pair in range(pairs):
            traffic.send(pair, source)
        address = net.submit(command_class, number, data)
        for pair in range(pairs):
            traffic.send(pair, source)
        expect(f"answer to command {command_class}/{number} {data.hex()}",
               net.answer(address), wanted)
        traffic.collect()

    def passes(source, vlan=None):
        traffic.send(0, source, 2, vlan)
        traffic.collect()

    def blocked(source, vlan=None):
        traffic.check_blocked(source, vlan, passes=mac)

    with bench.step("RX mode: promiscuous off"):
        passes(UNICAST)
        command(RX, 0, b"\0")
        blocked(UNICAST)
    with bench.step("MAC_TABLE_SET: one unicast, one multicast address"):
        table = struct.pack("<I6sI6s", 1, UNICAST, 1, MULTICAST)
        command(MAC, 0, table)
        passes(UNICAST)
        passes(MULTICAST)
        blocked(OTHER_MULTICAST)
        blocked(OTHER_MAC)
    with bench.step("RX mode: all multicast on"):
        command(RX, 1, b"\1")
        passes(OTHER_MULTICAST)
    if bench.vlan:
        with bench.step("VLAN_ADD 5 and 6, VLAN_DEL 5"):
            blocked(mac, vlan=5)
            command(VLAN, 0, struct.pack("<H", 5))
            passes(mac, vlan=5)
            blocked(mac, vlan=6)
            command(VLAN, 0, struct.pack("<H", 6))
            command(VLAN, 1, struct.pack("<H", 5))
            passes(mac, vlan=6)
            blocked(mac, vlan=5)
    with bench.step("MAC_ADDR_SET to another address"):
        command(MAC, 1, OTHER_MAC, source=UNICAST)
        passes(OTHER_MAC)
        traffic.check_blocked(mac, passes=OTHER_MAC)
    with bench.step("telemetry shows the filter"):
        wanted = {"mac": OTHER_MAC.hex(":"), "promiscuous": "no", "all_multicast": "yes",
                  "unicast": 1, "multicast": 1, "vlans": int(bench.vlan)}
        device.wait_for(f"{wanted}", lambda info: wanted.items() <= info.items())
        command(MAC, 1, mac, source=UNICAST)
    with bench.step("MQ_VQ_PAIRS_SET 1, then 2"):
        command(MQ, 0, struct.pack("<H", 1), pairs=1)
        traffic.check(1, mac)
        device.wait_for("one active pair", lambda info: info["active_pairs"] == 1)
        command(MQ, 0, struct.pack("<H", 2), pairs=1)
        traffic.check(2, mac)
        device.wait_for("two active pairs", lambda info: info["active_pairs"] == 2)
    with bench.step("refused: three pairs, an unknown class, an unnegotiated command"):
        command(MQ, 0, struct.pack("<H", 3), ERR)
        command(9, 9, b"", ERR)
        command(OFFLOADS, 0, struct.pack("<Q", 0), ERR)
    with bench.step("telemetry counts every command and every frame"):
        more = [count, 3, *(traffic.sent[pair] - sent_before[pair] for pair in (0, 1))]
        wanted = [now + then for now, then in zip(before, more)]
        until(f"commands, refused, frames from the guest on both pairs: {wanted}",
              lambda: counted() == wanted, 20, counted)


def restarts(bench):
    net, traffic, mac = bench.net, bench.traffic, bench.mac
    with bench.step("driver reset: both spaces are empty, the group is back; then a restart"):
        net.reset()
        space0, space1 = bench.check_spaces(isolated=False)
        expect("regions while the driver is reset", regions.text(space0 + space1),
               regions.text([]))
        bench.start_driver()
        bench.check_isolation(4)
        traffic.check(2, mac)
    with bench.step("system_reset, then a restart"):
        bench.qemu.qmp.command("system_reset")
        bench.qemu.qmp.wait_event("RESET")
        bench.check_spaces(isolated=False)
        net.probe()
        bench.start_driver()
        bench.check_isolation(4)
        traffic.check(2, mac)
    with bench.step("stop and cont while frames are under way: the rings go on where they stood"):
        for _ in range(3):
            stop_and_cont(bench)
        bench.check_isolation(4)
    with bench.step("a driver without control queue"):
        seen = len(bench.qemu.events())
        net.start(F_SIMPLE)
        expect("control features", net.features & (F_CTRL_VQ | F_MQ), 0)
        order = [e.name for e in bench.qemu.events()[seen:]]
        early = order.index("set_vring_enable_one") < order.index("set_features")
        print(f"   QEMU enabled the queues {'before' if early else 'after'} it set the features")
        bench.check_spaces(isolated=False)
        traffic.check(1, mac)
    with bench.step("a driver that takes CTRL_VQ and never sets the control queue up"):
        net.start(bench.features, without_control_queue=True)
        bench.check_spaces()
        traffic.check(1, mac)
    with bench.step("a full driver again"):
        bench.start_driver()
        bench.check_isolation(4)
        traffic.check(2, mac)


def stop_and_cont(bench):
    """The indexes that the device reports at stop equal the rings' and are given back at cont."""
    data_queues = range(4)
    seen = len(bench.qemu.events())
    for pair in (0, 1):
        bench.traffic.send(pair, bench.mac, 16)
    bench.qemu.qmp.command("stop")
    positions = bench.net.positions()
    reported = {e.fields["index"]: e.fields["num"] for e in bench.qemu.events()[seen:]
                if e.name == "get_vring_base" and e.fields["index"] in data_queues}
    expect("indexes reported at stop, by queue", reported, positions)
    seen = len(bench.qemu.events())
    bench.qemu.qmp.command("cont")
    given = {e.fields["index"]: e.fields["num"] for e in bench.qemu.events()[seen:]
             if e.name == "set_dev_vring_base" and e.fields["index"] in data_queues}
    expect("indexes given back at cont, by queue", given, positions)
    bench.traffic.collect()


def sigkill(bench):
    with bench.step("SIGKILL while frames are under way: both spaces are dropped"):
        for pair in (0, 1):
            bench.traffic.send(pair, bench.mac, 16)
        bench.qemu.kill()
        bench.device.wait_for("status 0 and no regions", is_unused)


def without_mq(bench):
    with bench.step("mq=off: the control queue is queue 2, and isolated"):
        bench.start_qemu("mq=off,ctrl_vq=on")
        bench.start_driver(pairs=1)
        expect("control queue's index", bench.net.control.index, 2)
        bench.check_isolation(2)
        expect("answer to RX_PROMISC", bench.command(RX, 0, b"\0"), OK)
        bench.traffic.check(1, bench.mac)
        bench.traffic.check_blocked(UNICAST, passes=bench.mac)
    with bench.step("QEMU quits: no regions"):
        bench.qemu.quit()
        bench.device.wait_for("status 0 and no regions", is_unused)


def main():
    parser = argparse.ArgumentParser(description="QEMU with an isolated control queue")
    parser.add_argument("--qemu", default="qemu-system-x86_64", help="the command to start it by")
    parser.add_argument("--vhost", default="/dev/vhost-vdpa-0")
    parser.add_argument("--folder", default="/tmp/qtest", help="for sockets and QEMU's output")
    parser.add_argument("--short", action="store_true", help="only the start and the commands")
    parser.add_argument("--no-vlan", action="store_true", help="do not negotiate VLAN filters: "
                        "QEMU 10.0.2 would begin by adding all 4096 VLANs (10.0.13 does not)")
    arguments = parser.parse_args()
    bench = None
    try:
        bench = Bench(arguments)
        isolation(bench)
        commands(bench)
        if not arguments.short:
            restarts(bench)
            sigkill(bench)
            with bench.step("the next QEMU"):
                bench.start_qemu()
                bench.start_driver()
                bench.check_isolation(4)
                bench.traffic.check(2, bench.mac)
                bench.qemu.quit()
            without_mq(bench)
        return 0
    except Failure as failure:
        print(f"FAIL: {failure}", flush=True)
        return 1
    finally:
        if bench and bench.qemu:
            bench.qemu.kill()


if __name__ == "__main__":
    sys.exit(main())
