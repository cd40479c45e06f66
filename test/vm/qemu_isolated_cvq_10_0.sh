#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# QEMU 10.0 without a guest: control queue in its own address space, and control commands
# time: 500

# shellcheck source=test/vm/qtest/isolated_cvq.sh
source /src/test/vm/qtest/isolated_cvq.sh --short --no-vlan --qemu qemu-system-x86_64
