#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vduse-dp dies at one system call after the other on /dev/vduse and its journal: while starting, going on, answering
# time: 600
# long: 2000
#
# At each twenty-fifth call of a kind in the suite, at each one in devtools/test --long: a quarter of an hour.

quick_starts
use_bus virtio
in_python netdev.every_call "$(times 25 1)" "$app_log" "${app[@]}" "${app_eal[@]}" --no-telemetry -- \
    --device vd0,attach=virtio --reflect vd0
[ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 is still there"
