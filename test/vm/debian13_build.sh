#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vduse-dp compiled on Debian 13 (DPDK 24.11): the ABI matches the header of Linux 7.3, netdev_ping passes
# needs: build=debian13
# time: 500

step "the ABI"
debian13 /build/test/test_abi > abi.txt || fail "test_abi failed: $PWD/abi.txt"
! grep -q SKIPPED abi.txt || fail "Debian 13's <linux/vduse.h> has no version 1: $PWD/abi.txt"

app=(debian13 /build/app/vduse-dp)
# shellcheck source=test/vm/netdev_ping.sh
source /src/test/vm/netdev_ping.sh
