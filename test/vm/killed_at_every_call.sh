#!/bin/bash
# vduse-dp dies at one system call after the other on /dev/vduse and its journal: while starting, going on, answering
# time: 600
#
# At each fifteenth call of a kind; devtools/vm -t 2000 -e STRIDE=1 killed_at_every_call takes a quarter of an hour for all.

quick_starts
use_bus virtio
in_python netdev.every_call "${STRIDE:-15}" "$app_log" "${app[@]}" "${app_eal[@]}" --no-telemetry -- \
    --device vd0,attach=virtio --reflect vd0
[ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 is still there"
