#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vduse-dp is killed at each system call on /dev/vduse and its journal: while creating, adopting, answering
# time: 600
# long: 2000
#
# Normally at every twenty-fifth call of a kind. With --long at every call, which takes a quarter of
# an hour.

quick_starts
use_bus virtio
in_python netdev.every_call "$(times 25 1)" "$app_log" "${app[@]}" "${app_eal[@]}" --no-telemetry -- \
    --device vd0,attach=virtio --reflect vd0
[ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 is still there"
