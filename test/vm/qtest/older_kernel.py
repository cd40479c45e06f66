# SPDX-License-Identifier: BSD-3-Clause
"""QEMU on vduse-dp, over a kernel whose VDUSE has neither QUEUE_READY nor SUSPEND.

vduse-dp must be running, as `--device vd1,... --reflect vd1`, attached to vhost_vdpa. The device
has one pair and no control queue. vduse-dp gets no message when QEMU makes queues ready. QEMU
cannot stop the device: after `stop` it uses the used index as the position. So no frame is under
way then.

usage: python3 -m qtest.older_kernel [options], see --help
"""

import argparse
import shlex

from .device import Device, is_unused, regions_of
from .qemu import Qemu
from .traffic import Traffic
from .virtio_net import F_CONTROL, F_SIMPLE, VirtioNet
from .wait import expect, run_program


def play(arguments):
    device = Device("vd1")
    mac_text = device.info()["mac"]
    mac = bytes.fromhex(mac_text.replace(":", ""))
    qemu = Qemu(shlex.split(arguments.qemu), arguments.folder, arguments.vhost, mac_text,
                "mq=off,ctrl_vq=off")
    try:
        net = VirtioNet(qemu.qtest)
        traffic = Traffic(net)
        net.probe()

        print("-- start", flush=True)
        net.start(F_SIMPLE)
        expect("control features", net.features & F_CONTROL, 0)
        traffic.check(1, mac)
        regions = qemu.regions(0)
        device.wait_for("the regions of space 0, as QEMU mapped them",
                        lambda info: regions_of(info, 0) == regions)

        print("-- driver reset and restart, twice", flush=True)
        for _ in range(2):
            net.reset()
            net.start(F_SIMPLE)
            traffic.check(1, mac)

        print("-- stop and cont, twice: the driver was told not to kick", flush=True)
        for _ in range(2):
            qemu.qmp.command("stop")
            qemu.qmp.command("cont")
            traffic.check(1, mac)

        print("-- quit", flush=True)
        qemu.quit()
        device.wait_for("status 0 and no regions", is_unused)
    finally:
        for line in qemu.messages():
            print(f"   QEMU: {line}", flush=True)
        qemu.kill()


def main():
    parser = argparse.ArgumentParser(description="QEMU over a kernel with an older VDUSE")
    parser.add_argument("--qemu", default="qemu-system-x86_64", help="the command to start it by")
    parser.add_argument("--vhost", default="/dev/vhost-vdpa-0")
    parser.add_argument("--folder", default="/tmp/qtest", help="for sockets and QEMU's output")
    play(parser.parse_args())


if __name__ == "__main__":
    run_program(main)
