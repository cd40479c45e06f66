#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# net_vduse and net_vhost on VDUSE in turns against the same net_virtio_user: rates and their ratio
# time: 900
#
#   testpmd 22.11, net_vduse ──────────┐
#                                      ├─ vd0 ─ /dev/vhost-vdpa-0 ─ testpmd 22.11, net_virtio_user
#   Debian 13's 24.11, net_vhost ──────┘
#
# The scenario asserts only that frames flow, not a speed: on a shared machine only the ratio of two
# runs next to each other is meaningful. `devtools/bench testpmd` runs five rounds, also with frames
# of 1518 bytes, and prints the table.

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
rounds=$(times 1 5) seconds=2
read -ra frames <<< "$(times 64 '64 1518')"
eal='--no-pci --in-memory --no-telemetry --iova-mode=va'
options='-i --total-num-mbufs=8192 --disable-link-check'

install_driver

step "as in the guide"
in_guide testpmd vhost
open_testpmd device "$(guide_block testpmd device)"
wait_for 20 test -e /dev/vhost-vdpa-0
# The VM has two CPUs, and one is the device's.
open_testpmd driver "$(guide_block testpmd driver | sed 's/-l 0,2/--lcores 0@0,1@0/')"
guide_block testpmd rate > commands
while read -r command; do
    ask driver "$command"
done < commands
grep -qE 'Rx-pps: +[1-9]' <<< "$answer" || fail "no frames: $answer"
close_testpmd driver
close_testpmd device

open_net_vduse() {
    open_testpmd device "dpdk-testpmd -l 0-1 $eal --vdev net_vduse0,iface=vd0,attach=vhost -- $options"
}
open_net_vhost() {
    # net_vhost logs an error for each frame if the driver exits first.
    open_testpmd device "debian13 dpdk-testpmd -l 0-1 $eal --log-level='lib.vhost.*:critical' \
        --vdev net_vhost0,iface=/dev/vduse/vd0 -- $options"
    vdpa dev add name vd0 mgmtdev vduse
}

# forward NAME MODE FRAME [start's words]: starts forwarding again with these settings.
forward() {
    ask "$1" stop
    answers "$1" "set fwd $2" "Set $2 packet forwarding mode"
    ask "$1" "set txpkts $3"
    ask "$1" "start ${4:-}"
}

# measure CONTENDER FRAME DIRECTION NAME: records the frames per second that NAME receives.
measure() {
    local rate
    sleep 0.5
    ask "$4" "show port stats 0"
    sleep "$seconds"
    ask "$4" "show port stats 0"
    rate=$(grep -oP 'Rx-pps: +\K[0-9]+' <<< "$answer")
    echo "$1 $2 $3 $rate" | tee -a rates.txt
    [ "$rate" -gt 0 ] || fail "no frames: $*"
}

: > rates.txt
for ((round = 1; round <= rounds; round++)); do
    for contender in net_vduse net_vhost; do
        step "round $round of $rounds, $contender"
        "open_$contender"
        wait_for 20 test -e /dev/vhost-vdpa-0
        # The driver's lcore shares a CPU with everything except the device's lcore.
        open_testpmd driver "dpdk-testpmd --lcores 0@0,1@0 $eal --single-file-segments \
            --vdev net_virtio_user0,path=/dev/vhost-vdpa-0,queue_size=1024 -- $options"
        for frame in "${frames[@]}"; do
            forward device rxonly "$frame"
            forward driver txonly "$frame"
            measure "$contender" "$frame" from_guest device
            forward driver rxonly "$frame"
            forward device txonly "$frame"
            measure "$contender" "$frame" to_guest driver
            forward device mac "$frame"
            forward driver io "$frame" "tx_first 16"
            measure "$contender" "$frame" forward driver
        done
        close_testpmd driver
        [ "$contender" = net_vduse ] || vdpa dev del vd0
        close_testpmd device
    done
done
python3 -B /src/test/vm/lab/pair_table.py rates.txt net_vduse net_vhost | tee table.txt
