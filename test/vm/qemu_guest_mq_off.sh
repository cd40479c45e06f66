#!/bin/bash
# A Linux guest in QEMU 11.1, whose default is one pair of a device that has two
# by hand: a guest takes minutes to boot where the VM itself is emulated
# time: 900

qemu=(debian13 qemu-system-x86_64)
mq=off
# shellcheck source=test/vm/lab/qemu_guest.sh
source /src/test/vm/lab/qemu_guest.sh
