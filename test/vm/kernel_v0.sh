#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Debian 13's own kernel (6.12): VDUSE's API version 0 carries a netdev and a QEMU
# needs: kernel=trixie
# needs: module=stock
# time: 500

# shellcheck source=test/vm/lab/older_kernel.sh
source /src/test/vm/lab/older_kernel.sh 0 7.0 "API version 1" VDUSE_F_QUEUE_READY VDUSE_F_SUSPEND
