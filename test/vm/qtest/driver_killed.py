# SPDX-License-Identifier: BSD-3-Clause
"""Kills QEMU under traffic repeatedly; each next QEMU must find the device in its initial state.

vduse-dp must be running, as for isolated_cvq.py.

usage: python3 -m qtest.driver_killed TIMES QEMU...
"""

import sys
import time

from lab.ask import ask

from .qemu import Qemu
from .traffic import Traffic
from .virtio_net import F_ALL, OK, VirtioNet
from .wait import expect, run_program, until

FOLDER, MAC = "/tmp/qtest", bytes.fromhex("020000000010")


def one_life(command, number):
    """Starts QEMU, sends a command and frames on both pairs, and kills QEMU under traffic."""
    begin = time.monotonic()
    qemu = Qemu(command, FOLDER, "/dev/vhost-vdpa-0", MAC.hex(":"))
    try:
        net = VirtioNet(qemu.qtest)
        net.probe()
        net.start(F_ALL)
        expect("answer to MQ_VQ_PAIRS_SET", net.answer(net.submit(4, 0, b"\2\0")), OK)
        expect("the space of the control queue's group",
               ask("/vduse/info,vd0")["groups"]["1"]["asid"], 1)
        traffic = Traffic(net)
        traffic.check(2, MAC, 4)
        for pair in (0, 1):
            traffic.send(pair, MAC, 2 + number % 8)
    finally:
        qemu.kill()
    until("no driver and no regions", lambda: all(
        info["status"] == "0x0" and not any(s["region_count"] for s in info["spaces"].values())
        for info in [ask("/vduse/info,vd0")]), 20, lambda: ask("/vduse/info,vd0"))
    print(f"killed, {time.monotonic() - begin:.1f} s", flush=True)


def main():
    for number in range(int(sys.argv[1])):
        one_life(sys.argv[2:], number)


if __name__ == "__main__":
    run_program(main)
