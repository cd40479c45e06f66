# SPDX-License-Identifier: BSD-3-Clause
"""Migrates a machine there and back between two devices, under frames on both pairs.

One vduse-dp or two must be running, as `--reflect NAME --device NAME,queues=2,attach=vhost` for
each DEVICE. PREFIX is the value of its EAL option --file-prefix.

usage: python3 -m qtest.migrate [options] DEVICE[:PREFIX] DEVICE[:PREFIX], see --help
"""

import argparse
import struct

from .device import Device
from .migration import MEMORY_MIB, Machine, Pause, Place
from .mmaps import Mmaps
from .virtio_net import F_ALL, F_INDIRECT, OK
from .wait import Failure, expect, run_program, step, until

QEMU_MAC = "02:00:00:00:00:10"
MACS = bytes.fromhex("02aabbccdde0"), bytes.fromhex("02aabbccdde1")
UNICAST, MULTICAST = bytes.fromhex("020000000099"), bytes.fromhex("333300000099")
RX, MAC, VLAN, MQ = 0, 1, 2, 4  # command classes


class Journey:
    """The machine, all devices that it may use, and the state that control commands have set."""

    def __init__(self, qemu, places):
        self._places = places
        self._mmaps = Mmaps({place.device.process_id() for place in places}, MEMORY_MIB << 20)
        self._before = self._counted()
        self.machine = Machine(places[0], qemu, QEMU_MAC, UNICAST)
        self.machine.net.start(F_ALL | F_INDIRECT)
        self._state = {"mac": MACS[0].hex(":"), "promiscuous": "no", "all_multicast": "yes",
                       "unicast": 1, "multicast": 1, "vlans": 2, "active_pairs": 2}
        for command_class, command, data in (
                (MQ, 0, struct.pack("<H", 2)),
                (MAC, 1, MACS[0]),
                (MAC, 0, struct.pack("<I6sI6s", 1, UNICAST, 1, MULTICAST)),
                (VLAN, 0, struct.pack("<H", 5)),
                (VLAN, 0, struct.pack("<H", 4095)),
                (RX, 1, b"\1"),
                (RX, 0, b"\0")):
            expect(f"answer to command {command_class}/{command}",
                   self.machine.command(command_class, command, data), OK)
        self.check_state()

    def check_state(self):
        expect(f"what {self.machine.place.device.name} was programmed with",
               self.machine.place.device.control_state(), self._state)

    def change_mac(self):
        mac = MACS[self._state["mac"] == MACS[0].hex(":")]
        self._state["mac"] = mac.hex(":")
        expect("answer to MAC_ADDR_SET", self.machine.command(MAC, 1, mac), OK)
        self.check_state()

    def _counted(self):
        """Returns (frames from the driver, frames to it, dropped frames), summed over devices."""
        stats = [place.device.stats() for place in self._places]
        to_guest = [s["to_guest"] for s in stats]
        return (sum(s["from_guest"]["frames"] for s in stats),
                sum(s["frames"] for s in to_guest),
                sum(s["dropped"] + s["not_taken"] for s in to_guest))

    def check_frames(self):
        """Checks that each frame was taken once, and came back or was counted as dropped."""
        traffic, sent = self.machine.traffic, sum(self.machine.traffic.sent.values())
        seen = [now - before for now, before in zip(self._counted(), self._before)]
        expect("frames from the driver, to it, and dropped", seen,
               [sent, sent - traffic.lost, traffic.lost])

    def go(self, target, return_path):
        machine = self.machine
        machine.begin(target, return_path)
        machine.place.check_regions()
        self.change_mac()
        answer = machine.complete()
        expect("how the migration ended", answer["status"], "completed")
        left = machine.arrive(target)
        commands = target.check_order()
        self.check_state()
        if not target.isolated():
            raise Failure(f"the control queue is not isolated: {target.device.info()}")
        target.check_regions()
        pause = Pause(left.device, target.device)
        pause.check_mappings(self._mmaps.times(left.device.process_id()))
        left.abandon()
        self.check_frames()
        print(f"   {left.device.name} to {target.device.name}: {commands} commands; downtime "
              f"{answer['downtime']} ms by QEMU; {pause.text()}", flush=True)

    def refused(self, target, return_path):
        """The destination cannot take the machine, so it continues at the source."""
        machine = self.machine
        machine.begin(target, return_path)
        self.change_mac()
        answer = machine.complete()
        if target.qemu.wait_exit() == 0:
            raise Failure("the destination's QEMU ended as if all were well")
        print(*[f"   destination: {line}" for line in target.qemu.messages()],
              f"   source: {answer['status']}, {answer.get('error-desc')}", sep="\n", flush=True)
        expect("how the migration ended, as the source knows it", answer["status"],
               "failed" if return_path else "completed")
        if not return_path:
            machine.place.qemu.qmp.command("cont")
        self.goes_on(shadowed=return_path)
        target.abandon()

    def cancelled(self, target):
        self.machine.begin(target, True)
        expect("how the migration ended", self.machine.cancel()["status"], "cancelled")
        self.goes_on(shadowed=True)
        target.abandon()

    def goes_on(self, shadowed):
        """Checks frames and commands at the source, where QEMU may still shadow all queues."""
        machine, place = self.machine, self.machine.place
        until("a machine that runs", lambda: place.qemu.qmp.command("query-status")["running"])
        machine.until("queues that run", place.running)
        machine.traffic.settle(2, UNICAST)
        self.check_state()
        self.change_mac()
        place.check_regions()
        self.check_frames()
        expect("data queues shadowed, control queue isolated",
               (machine.shadowed(), place.isolated()), (shadowed, not shadowed))

    def restarts(self):
        """After stop and cont, the failed migration leaves no traces."""
        for command in ("stop", "cont"):
            self.machine.place.qemu.qmp.command(command)
        self.goes_on(shadowed=False)


def main():
    parser = argparse.ArgumentParser(description="QEMU migrates a machine under frames")
    parser.add_argument("--qemu", default="qemu-system-x86_64", help="the command to start it by")
    parser.add_argument("--folder", default="/tmp/qtest", help="for sockets and QEMU's output")
    parser.add_argument("--rounds", type=int, default=10, help="there and back")
    parser.add_argument("--refuses", action="append", default=[], metavar="DEVICE[:PREFIX]",
                        help="a device that cannot take the machine")
    parser.add_argument("devices", nargs=2, metavar="DEVICE[:PREFIX]")
    arguments = parser.parse_args()
    places = [Place(Device(*text.split(":")), arguments.folder)
              for text in arguments.devices + arguments.refuses]
    try:
        play(arguments, places)
    finally:
        for place in places:
            if place.qemu:
                for line in place.qemu.messages():
                    print(f"   QEMU on {place.device.name}: {line}", flush=True)
                place.qemu.kill()


def play(arguments, places):
    with step("start, and everything that the control queue can set"):
        journey = Journey(arguments.qemu, places)
    for number in range(2 * arguments.rounds):
        with step(f"migration {number + 1}, return-path {'off' if number & 2 else 'on'}"):
            journey.go(places[1 - number % 2], return_path=not number & 2)
    refusing = places[2:]
    for place in refusing:
        with step(f"{place.device.name} refuses, return-path on: the source goes on"):
            journey.refused(place, True)
    if refusing:
        with step("cancelled"):
            journey.cancelled(places[1])
        with step("stop and cont"):
            journey.restarts()
        with step("the same machine can be migrated all the same"):
            journey.go(places[1], True)
        # This must be the last step: when this QEMU shadows again, it does not set the features.
        with step(f"{place.device.name} refuses, return-path off: the source is done, until cont"):
            journey.refused(place, False)


if __name__ == "__main__":
    run_program(main)
