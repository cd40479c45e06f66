# SPDX-License-Identifier: BSD-3-Clause
"""QEMU stops and continues a machine, under frames in both directions.

vduse-dp must be running, as `--device vd0,queues=2,attach=vhost` bridged with a tap. The tap's
other end sends to the driver all the time, whether the machine is stopped or not.

usage: python3 -m qtest.suspend TAP TIMES QEMU...
"""

import struct
import sys

from .device import Device
from .peer import Peer, number_of
from .qemu import Qemu
from .traffic import frame
from .virtio_net import F_ALL, OK, QUEUE_MEMORY, QUEUE_STRIDE, SLOTS, VirtioNet
from .wait import Failure, expect, run_program, step, until

FOLDER, MAC, MEMORY_MIB = "/tmp/qtest", bytes.fromhex("020000000010"), 32
DATA_QUEUES = range(4)
BURST = 16  # frames on each pair; the driver has 32 slots
MEANWHILE = 25  # frames from the peer while the machine is stopped


class Bench:
    def __init__(self, tap, command):
        self._command = command
        self.device = Device("vd0")
        self.qemu = self._start_qemu()
        self.net = VirtioNet(self.qemu.qtest)
        self.net.probe()
        self.net.start(F_ALL)
        expect("answer to MQ_VQ_PAIRS_SET",
               self.net.answer(self.net.submit(4, 0, struct.pack("<H", 2))), OK)
        self._sent = 0
        self._awaited = {0: [], 1: []}  # by the peer, from each pair
        self._received = 0
        self._latest = {0: -1, 1: -1}  # the number of the last frame from the peer, on each pair
        self.peer = Peer(tap, MAC)

    def _start_qemu(self, incoming=False):
        vhost = until("vd0 on the vDPA bus", self.device.vhost)
        return Qemu(self._command, FOLDER, vhost, MAC.hex(":"), memory_mib=MEMORY_MIB,
                    incoming=incoming)

    def send(self):
        """Sends a burst on each pair, without waiting."""
        for pair, awaited in self._awaited.items():
            self.net.free_sent(pair)
            frames = [frame(self._sent + i, MAC, None) for i in range(BURST)]
            self._sent += BURST
            self.net.send(pair, frames)
            awaited.extend(frames)

    def receive(self):
        """Checks the frames from the peer: some may be missing, but none arrives twice or late."""
        for pair in self._latest:
            for _ in range(SLOTS):  # the peer may be faster than we are
                data = self.net.arrived(pair)
                if data is None:
                    break
                number = number_of(data)
                if number <= self._latest[pair]:
                    raise Failure(f"pair {pair} got frame {number} after {self._latest[pair]}")
                self._latest[pair] = number
                self._received += 1

    def exchange(self):
        """Checks that frames pass in both directions."""
        news = self.peer.sent
        self.send()

        def passed():
            self.receive()
            for pair in (0, 1):
                self.net.free_sent(pair)
            return max(self._latest.values()) >= news and not any(
                queue.in_flight() for i, queue in self.net.queues.items() if i in (1, 3))
        until(f"a frame after {news}, and all sent", passed, 20,
              lambda: (self._latest, self.net.positions()))

    def check_frames(self):
        """Checks that every frame from the driver reached the peer once and in order."""
        for data in self.peer.take():
            pair = next((p for p, frames in self._awaited.items() if frames[:1] == [data]), None)
            if pair is None:
                raise Failure(f"the peer got {len(data)} bytes {data[:24].hex()}..., expected are "
                              f"{ {p: f[0][:24].hex() for p, f in self._awaited.items() if f} }")
            self._awaited[pair].pop(0)
        stats = self.device.stats()
        expect("frames from the driver", stats["from_guest"]["frames"], self._sent)
        expect("frames that the peer has not got", sum(map(len, self._awaited.values())), 0)
        return stats

    def check_positions(self, traces):
        """Returns the data queues' positions.

        QEMU, guest memory and the device's counters must agree on them.
        """
        reported = {e.fields["index"]: e.fields["num"] for e in traces
                    if e.name == "get_vring_base" and e.fields["index"] in DATA_QUEUES}
        positions = self.net.positions()
        expect("positions reported to QEMU, by queue", reported, positions)
        expect("frames that the device counted, by queue",
               {i: self.device.queue(i)["stats"]["frames"] & 0xFFFF for i in DATA_QUEUES},
               positions)
        return positions

    def check_still(self):
        """Checks that the data queues in guest memory do not change while the peer still sends."""
        area = QUEUE_MEMORY, QUEUE_STRIDE * len(DATA_QUEUES)
        before, dropped = self.qemu.guest_memory(*area), self.device.stats()["to_guest"]["not_taken"]
        until(f"{MEANWHILE} frames that found no driver", lambda: self.device.stats()["to_guest"][
            "not_taken"] >= dropped + MEANWHILE, 20, self.device.stats)
        after = self.qemu.guest_memory(*area)
        changed = [i for i in range(len(before)) if before[i] != after[i]] if before != after else []
        expect("bytes of the data queues that changed while the machine was stopped",
               [f"{QUEUE_MEMORY + i:#x}" for i in changed[:8]], [])

    def stop(self):
        """Stops the machine with frames under way in both directions. Returns the positions."""
        seen = len(self.qemu.events())
        self.send()
        self.qemu.qmp.command("stop")
        positions = self.check_positions(self.qemu.events()[seen:])
        self.check_still()
        return positions

    def go_on(self, positions):
        seen = len(self.qemu.events())
        self.qemu.qmp.command("cont")
        given = {e.fields["index"]: e.fields["num"] for e in self.qemu.events()[seen:]
                 if e.name == "set_dev_vring_base" and e.fields["index"] in DATA_QUEUES}
        expect("positions given back, by queue", given, positions)
        self.exchange()
        self.check_frames()

    def save(self, path):
        """Saves the machine to a file, which stops it if it runs."""
        self.qemu.qmp.command("migrate", uri=f"file:{path}")
        self.check_completed()

    def check_completed(self):
        expect("how the migration ended",
               until("its end", self.qemu.qmp.migration_ended)["status"], "completed")

    def load(self, path):
        """Loads the machine from a file, in another QEMU."""
        self.qemu.quit()
        until("no driver and no regions", self.device.unused, 20, self.device.info)
        self.qemu = self._start_qemu(incoming=True)
        self.qemu.qmp.command("migrate-incoming", uri=f"file:{path}")
        self.check_completed()
        expect("frames that were not sent", self.net.move(self.qemu.qtest), {0: 0, 1: 0})


def play(bench, times):
    with step("start"):
        bench.exchange()
        bench.check_frames()
    for number in range(times):
        with step(f"stop and cont, {number + 1}"):
            bench.go_on(bench.stop())
    with step("stop, save, cont"):
        positions = bench.stop()
        bench.save(f"{FOLDER}/saved")
        bench.check_still()
        bench.go_on(positions)
    with step("stop, save, load in another QEMU, cont"):
        positions = bench.stop()
        bench.save(f"{FOLDER}/saved")
        bench.load(f"{FOLDER}/saved")
        bench.check_still()
        bench.go_on(positions)


def main():
    bench = None
    try:
        bench = Bench(sys.argv[1], sys.argv[3:])
        play(bench, int(sys.argv[2]))
        bench.qemu.quit()
    finally:
        if bench:
            bench.peer.stop()
            for line in bench.qemu.messages():
                print(f"   QEMU: {line}", flush=True)
            bench.qemu.kill()


if __name__ == "__main__":
    run_program(main)
