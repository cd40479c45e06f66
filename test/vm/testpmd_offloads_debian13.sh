#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# testpmd_offloads with Debian 13's testpmd (DPDK 24.11): frames with and without offloads, in chains and in one buffer
# needs: build=debian13
# time: 500

use_debian13
# shellcheck source=test/vm/testpmd_offloads.sh
source /src/test/vm/testpmd_offloads.sh
