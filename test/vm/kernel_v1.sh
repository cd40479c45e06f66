#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Debian forky's own kernel (7.2): API version 1 without QUEUE_READY and SUSPEND carries a netdev and a QEMU
# needs: kernel=forky
# needs: module=stock
# time: 500

# shellcheck source=test/vm/lab/older_kernel.sh
source /src/test/vm/lab/older_kernel.sh 1 7.3 VDUSE_F_QUEUE_READY VDUSE_F_SUSPEND
