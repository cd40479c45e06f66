#!/bin/bash
# A Linux guest in QEMU 10.0 with two queue pairs: traffic, control commands, reboot, a second QEMU
# by hand: a guest takes minutes to boot where the VM itself is emulated
# time: 900

qemu=(qemu-system-x86_64)
mq=on
# shellcheck source=test/vm/lab/qemu_guest.sh
source /src/test/vm/lab/qemu_guest.sh
