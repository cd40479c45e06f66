# SPDX-License-Identifier: BSD-3-Clause
"""Kills vduse-dp at each of its system calls in turn; the next process must serve the device.

Only calls on /dev/vduse and on the journal are tried. There are three courses, each tried call by
call: a start that creates the device and attaches it to the bus, a start that adopts the device,
and a driver that is unbound and bound again.

usage: every_call.py STRIDE LOG VDUSE-DP...     kills at every STRIDE-th call of each kind;
                                                vduse-dp reflects vd0
"""

import glob
import os
import socket
import struct
import subprocess
import sys
import time

from lab.life import Life
from qtest.wait import Failure, expect, run_program, until

from .probe import ETHERTYPE

TRACE = "/tmp/strace"
PATHS = "/dev/vduse/control", "/dev/vduse/vd0", "/run/vduse-dp/vd0.journal"
PEER = bytes.fromhex("0200000000fe")
FRAMES = 8


def netdev():
    found = glob.glob("/sys/bus/vdpa/devices/vd0/virtio*/net/*")
    return os.path.basename(found[0]) if found else None


def link_up():
    """Needs a running vduse-dp: the kernel waits for its control queue while it holds RTNL."""
    subprocess.run(["ip", "link", "set", until("a netdev", netdev), "up"], check=True)


def traffic():
    """Checks that frames come back from the device."""
    name = until("a netdev", netdev)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)) as link:
        link.bind((name, ETHERTYPE))
        link.settimeout(0.5)
        own = link.getsockname()[4]

        def comes_back(number):
            payload = struct.pack(">HQ", ETHERTYPE, number).ljust(48, b"\0")
            link.send(PEER + own + payload)
            try:
                while link.recv(2048) != own + PEER + payload:
                    pass  # one that was sent before, and comes late
                return True
            except socket.timeout:
                return False

        # Linux sends the first frames some time after the link came up. It also sets receive modes
        # then, and the device drops frames for a moment.
        for number in range(FRAMES):
            until(f"frame {number} of {FRAMES} comes back", lambda n=number: comes_back(n))


def traced(kind, number):
    """Returns a prefix that kills vduse-dp at call `number` of `kind`, counted per thread."""
    inject = f"inject={kind}:signal=SIGKILL:when={number}"
    paths = [word for path in PATHS for word in ("-P", path)]
    # -D: the process started here is vduse-dp, and strace its grandchild.
    return ["strace", "-D", "-f", "-qq", "-o", TRACE, "-e", f"trace={kind}", "-e", inject, *paths]


class Calls:
    """vduse-dp's command, and counts of the kills."""

    def __init__(self, stride, log, command):
        self.stride, self._log, self.command = stride, log, command
        self.done = {}
        self.given_up = 0

    def life(self, prefix=()):
        return Life([*prefix, *self.command], self._log)

    def lives(self, course, kinds):
        """Yields (kind, number), for each kind with growing numbers until the process outlives it.

        The process outlives a kind when it makes fewer than `number` calls of it.
        """
        for kind in kinds:
            number, self._outlived = 1, False
            while not self._outlived:
                yield kind, number
                if not self._outlived:
                    self.done[course, kind] = self.done.get((course, kind), 0) + 1
                number += self.stride

    def outlived(self):
        self._outlived = True


def making(calls):
    """The course of a start that creates the device, until the netdev works."""
    for kind, number in calls.lives("make", ("ioctl", "pwrite64", "write")):
        life = calls.life(traced(kind, number))
        if life.comes_to_say("vd0: attached"):
            calls.outlived()
            life.kill()
        life = calls.life()
        if not life.comes_to_say("vduse-dp: ready"):
            # The killed process also caused the message that the kernel waits on. When SET_VQ_READY
            # is not answered, the kernel gives the device up.
            if "the kernel gave the device up" not in life.text():
                raise Failure(f"after a kill at {kind} {number}, vduse-dp ended: {life.text()}")
            subprocess.run(["vdpa", "dev", "del", "vd0"], check=True)
            calls.given_up += 1
            life = calls.life()
        life.ready()
        try:
            # The killed process may not have received the driver's last message, so the netdev must
            # not be used before.
            until("the device is attached", lambda: "vd0: attached" in life.text())
            link_up()
            traffic()
        except Failure as failure:
            raise Failure(f"after a kill at {kind} {number} of a start that makes the device: {failure}\n"
                          f"{life.text()}") from failure
        life.end()
        expect("devices that stay", os.listdir("/sys/bus/vdpa/devices"), [])


def adopting(calls):
    """The device exists. Each process adopts what the one before left, until its own kill."""
    life = calls.life()
    life.ready()
    link_up()
    traffic()
    life.kill()
    for kind, number in calls.lives("adopt", ("ioctl", "mmap", "pwrite64")):
        life = calls.life(traced(kind, number))
        # Calls that it makes once a second or for the first frames are tried too.
        if life.comes_to_say("vduse-dp: ready"):
            try:
                traffic()
            except Failure as failure:
                if not life.gone():
                    raise Failure(f"after kills at {kind} 1 to {number} of starts that go on: {failure}") from failure
        if not life.gone():
            life.went_on(1)
            calls.outlived()
            life.kill()


def messages(calls):
    """The driver is unbound and bound again, which takes a dozen messages."""
    device = os.path.basename(glob.glob("/sys/bus/vdpa/devices/vd0/virtio*")[0])
    folder = "/sys/bus/virtio/drivers/virtio_net"
    for kind, number in calls.lives("messages", ("pwrite64", "write")):
        life = calls.life(traced(kind, number))
        life.comes_to_say("vduse-dp: ready")
        with subprocess.Popen(["sh", "-ec", f"echo {device} > {folder}/unbind; echo {device} > {folder}/bind"]) as driver:
            until("vduse-dp dies or the driver is back", lambda: life.gone() or driver.poll() is not None, 40)
            if not life.gone():
                calls.outlived()
                life.kill()
            life = calls.life()
            life.ready()
            expect(f"status of unbind and bind, killed at {kind} {number}", driver.wait(40), 0)
        try:
            link_up()
            traffic()
        except Failure as failure:
            raise Failure(f"after a kill at {kind} {number} while the driver came back: {failure}") from failure
        life.kill()


def main():
    calls = Calls(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
    for course in (making, adopting, messages):
        begin = time.monotonic()
        course(calls)
        print(f"-- {course.__name__}: {time.monotonic() - begin:.0f} s", flush=True)
    for (course, kind), count in calls.done.items():
        print(f"{course:10}{kind:10}{count:4} kills")
    print(f"given up by the kernel: {calls.given_up}")
    life = calls.life()
    life.ready()
    traffic()
    life.end()


if __name__ == "__main__":
    run_program(main)
