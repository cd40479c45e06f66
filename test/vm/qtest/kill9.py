# SPDX-License-Identifier: BSD-3-Clause
"""Kills vduse-dp with SIGKILL behind a QEMU with a configured device. QEMU needs no special action.

Requests that come while no process serves the device wait: a control command, `stop`, a driver's
reset, the exit of QEMU itself. The next vduse-dp answers them, with the control state, spaces and
positions of the previous one.

usage: python3 -m qtest.kill9 KILLS LOG QEMU... -- VDUSE-DP...     vduse-dp reflects vd0
"""

import itertools
import os
import signal
import struct
import sys
import time

from lab.ask import ask
from lab.life import Life

from .qemu import Qemu
from .traffic import Traffic
from .virtio_net import DRIVER_OK, F_ALL, OK, VirtioNet
from .wait import expect, run_program, until

FOLDER, MAC = "/tmp/qtest", bytes.fromhex("020000000010")
OTHER_MAC, UNICAST, STRANGER = (bytes.fromhex(f"02000000{n:04x}") for n in (0xAA, 0x99, 0x98))
RX, MAC_CLASS, VLAN, MQ = 0, 1, 2, 4
BURST = 32  # what vduse-dp may have had in its hands
# Keys of /vduse/info with the state that the driver has set.
KEPT = ("features", "active_pairs", "mac", "promiscuous", "all_multicast", "unicast",
        "multicast", "vlans", "groups", "spaces")


def kept():
    info = ask("/vduse/info,vd0")
    # QEMU sets status 0xc at the start, and 0xf after a stop.
    return {"driver_ok": bool(int(info["status"], 0) & DRIVER_OK), **{key: info[key] for key in KEPT}}


class Bench:
    """One vduse-dp after another, and the driver in QEMU."""

    def __init__(self, log, command, qemu):
        self._log, self._command = log, command
        self.life = Life(command, log)
        self.life.ready()
        until("/dev/vhost-vdpa-0", lambda: os.path.exists("/dev/vhost-vdpa-0"))
        self.qemu = Qemu(qemu, FOLDER, "/dev/vhost-vdpa-0", MAC.hex(":"))
        self.net = VirtioNet(self.qemu.qtest)
        self.net.probe()
        self.traffic = Traffic(self.net)
        self.lost = 0

    def command(self, command_class, number, data):
        expect(f"answer to command {command_class}/{number}", self.net.answer(
            self.net.submit(command_class, number, data)), OK)

    def set_up(self):
        self.net.start(F_ALL)
        self.command(MQ, 0, struct.pack("<H", 2))
        self.command(RX, 0, b"\0")
        self.command(MAC_CLASS, 1, OTHER_MAC)
        self.command(MAC_CLASS, 0, struct.pack("<I6sI", 1, UNICAST, 0))
        self.command(VLAN, 0, struct.pack("<H", 5))

    def works(self):
        """Checks frames on both pairs, and that the filter is still as set up."""
        self.traffic.check(2, OTHER_MAC, 4)
        self.traffic.send(0, OTHER_MAC, 2, vlan=5)
        self.traffic.send(1, UNICAST, 2)
        self.lost += self.traffic.collect()
        self.traffic.check_blocked(STRANGER, passes=OTHER_MAC)
        self.traffic.check_blocked(OTHER_MAC, vlan=6, passes=OTHER_MAC)

    def dies(self):
        self.life.kill()

    def comes(self):
        """Starts the next vduse-dp; requests from now on wait until it serves the device."""
        self.life = Life(self._command, self._log)

    def is_there(self):
        self.life.ready()
        self.life.went_on(1)


def frames_wait(bench):
    """Frames are under way at the kill, and are sent while no process serves the device."""
    for pair in (0, 1):
        bench.traffic.send(pair, OTHER_MAC, 8)
    bench.dies()
    for pair in (0, 1):
        bench.traffic.send(pair, OTHER_MAC, 8)
    bench.comes()
    bench.is_there()
    lost = bench.traffic.collect(may_lose=BURST)
    print(f"   {lost} frames are lost")
    bench.lost += lost


def command_waits(bench):
    bench.dies()
    bench.comes()
    bench.command(VLAN, 0, struct.pack("<H", 7))
    bench.is_there()
    bench.traffic.send(0, OTHER_MAC, 2, vlan=7)
    bench.traffic.collect()
    bench.command(VLAN, 1, struct.pack("<H", 7))


def stop_waits(bench):
    for pair in (0, 1):
        bench.traffic.send(pair, OTHER_MAC, 8)
    bench.traffic.collect()
    bench.dies()
    bench.comes()
    seen = len(bench.qemu.events())
    bench.qemu.qmp.command("stop")
    bench.is_there()
    expect("positions that the next vduse-dp tells",
           {e.fields["index"]: e.fields["num"] for e in bench.qemu.events()[seen:]
            if e.name == "get_vring_base" and e.fields["index"] in range(4)},
           bench.net.positions())
    bench.qemu.qmp.command("cont")


def dies_while_stopped(bench):
    bench.qemu.qmp.command("stop")
    bench.dies()
    bench.comes()
    bench.is_there()
    bench.qemu.qmp.command("cont")


def reset_waits(bench):
    bench.dies()
    bench.comes()
    bench.net.reset()
    bench.is_there()
    bench.set_up()


def main():
    kills, log = int(sys.argv[1]), sys.argv[2]
    split = sys.argv.index("--")
    bench = Bench(log, sys.argv[split + 1:], sys.argv[3:split])
    try:
        bench.set_up()
        bench.works()
        before = kept()
        print(f"before: {before}", flush=True)
        expect("the space of the control queue's group", before["groups"]["1"]["asid"], 1)
        ways = itertools.cycle((frames_wait, command_waits, stop_waits, dies_while_stopped, reset_waits))
        for number, way in zip(range(kills), ways):
            print(f"-- kill {number}: {way.__name__}", flush=True)
            begin, seen, messages = time.monotonic(), len(bench.qemu.events()), len(bench.qemu.messages())
            way(bench)
            expect("what QEMU complains of", bench.qemu.messages()[messages:], [])
            if way is frames_wait:
                expect("what QEMU had to do", bench.qemu.events()[seen:], [])
            until("all is as it was", lambda: kept() == before, 20, kept)
            bench.works()
            print(f"   ok, {time.monotonic() - begin:.1f} s", flush=True)
        print("-- QEMU dies while nobody answers", flush=True)
        bench.dies()
        os.kill(bench.qemu.pid, signal.SIGKILL)
        bench.comes()
        bench.is_there()
    finally:
        bench.qemu.kill()
    until("no driver and no regions", lambda: ask("/vduse/info,vd0")["status"] == "0x0" and not any(
        space["region_count"] for space in ask("/vduse/info,vd0")["spaces"].values()), 20,
        lambda: ask("/vduse/info,vd0"))
    bench.life.end()
    print(f"{kills + 1} kills, {bench.lost} frames lost")


if __name__ == "__main__":
    run_program(main)
