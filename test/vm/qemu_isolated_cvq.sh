#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# QEMU 11.1 without a guest: control queue in its own address space, commands, resets, stop, SIGKILL
# time: 800

# shellcheck source=test/vm/qtest/isolated_cvq.sh
source /src/test/vm/qtest/isolated_cvq.sh --qemu "debian13 qemu-system-x86_64"
