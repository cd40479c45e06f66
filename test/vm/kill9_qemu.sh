#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kill -9 of vduse-dp behind QEMU, also while a command, a stop, a reset or QEMU's exit waits: state and positions are kept
# time: 500

quick_starts
use_bus vhost
in_python qtest.kill9 "${KILLS:-10}" "$app_log" "${qemu[@]}" -- \
    "${app[@]}" "${app_eal[@]}" -- --device vd0,mac=02:00:00:00:00:10,queues=2,attach=vhost --reflect vd0
[ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 is still there"
