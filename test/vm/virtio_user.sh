#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# DPDK's own virtio driver (testpmd, net_virtio_user) forwards through the device, with few regions and with hundreds
# time: 400

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
use_bus vhost
start_app -- --device vd0,attach=vhost --reflect vd0
wait_for 20 test -e /dev/vhost-vdpa-0

# forward LEAST MOST MBUFS [EAL options]: forwards with LEAST to MOST regions.
forward() {
    local least=$1 most=$2 regions
    shift 2
    start_testpmd "$@"
    in_python lab.traffic vd0 10000
    regions=$(told /vduse/info,vd0 'a["spaces"]["0"]["region_count"]')
    step "$regions regions"
    if [ "$regions" -lt "$least" ] || [ "$regions" -gt "$most" ]; then
        fail "$regions regions, not $least to $most"
    fi
    stop_testpmd
    telemetry /vduse/stats,vd0 'a["from_guest"]["dropped"] == a["to_guest"]["dropped"] == 0'
}
step "one file for each kind of memory"
forward 1 32 8192 --single-file-segments
step "one file for each hugepage"
forward 150 1000 150000

no_complaints
stop_app
