#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Netdevs with many queue pairs, a group for each pair, and long rings: pings, TCP on all pairs, more and fewer pairs
# time: 700
#
#   netns guest, 10.9.9.1 ── vd0 ── vd1 ── netns other, 10.9.9.3

use_bus virtio
modprobe vhost_vdpa
quick_starts
other_ip=10.9.9.3

combined() { # NETDEV PAIRS
    in_netns ethtool -L "$1" combined "$2"
    in_netns ethtool -l "$1" | tail -6 | grep -qE "^Combined:[[:space:]]+$2$" || fail "not $2 pairs: $1"
}

bytes_of_iperf3() {
    python3 -c 'import json, sys
print(json.load(sys.stdin)["end"]["sum_received"]["bytes"])' < "$1"
}

# carries PAIRS RING OPTIONS [MTU]: tests that a netdev with these options works and has rings of
# that size.
carries() {
    local pairs=$1 ring=$2 options=$3 mtu=${4:-1500} few=1 bytes
    step "$options"
    start_app -- --device "vd0,attach=virtio,$options" --device vd1,attach=virtio,mtu=9000 --patch vd0:vd1
    driver_to_netns vd1 other "$other_ip"
    ip -n other link set "$netdev" mtu "$mtu"
    driver_to_netns vd0
    telemetry /vduse/queue,vd0,0 "a['size'] == $ring"
    all_answered "$other_ip" in_netns
    if [ "$pairs" -gt 1 ]; then
        combined "$netdev" "$pairs"
        all_answered "$driver_ip" in_other
    fi
    in_other iperf3 --server --daemon --one-off --pidfile /run/iperf3
    wait_for 10 in_other bash -c 'ss -Hltn "sport = :5201" | grep -q .'
    in_netns iperf3 --client "$other_ip" --parallel 16 --time "$(times 1 3)" --json > iperf3.json || fail "iperf3: $(tail -3 iperf3.json)"
    bytes=$(bytes_of_iperf3 iperf3.json)
    step "$bytes bytes in 16 streams"
    [ "$bytes" -gt 1000000 ] || fail "hardly any traffic"
    if [ "$pairs" -gt 1 ]; then
        combined "$netdev" "$few"
        all_answered "$other_ip" in_netns
    fi
    all_answered "$driver_ip" in_other
    ! grep -q 'Unexpected TXQ' <(dmesg) || fail "$(dmesg | grep 'Unexpected TXQ' | tail -1)"
    no_complaints "${complaint:-}"
    stop_app
    ip netns del guest
    ip netns del other
}

carries 8 1024 queues=8,mtu=9000 9000
carries 16 1024 queues=16,groups=per-pair
carries 2 4096 queues=2,queue_size=4096
carries 1 8192 queues=1,queue_size=8192
if [ -n "${LONG:-}" ]; then
    carries 1 1024 queues=1
    carries 16 1024 queues=16
    carries 4 1024 queues=4,groups=per-pair
fi
complaint='vd0: rings of 512 instead of 1024: the kernel.s bounce memory of 1024 MiB'
carries 128 512 queues=128

step "a device that has too little on purpose is not silent"
start_app -- --stats 1 --device vd0,attach=virtio,queue_size=1024,bounce=4M --device vd1,attach=virtio --patch vd0:vd1
app_says 'vd0: it would not work as a netdev .* possible fixes: bounce=9M' || fail "no line at the start"
driver_to_netns vd1 other "$other_ip"
driver_to_netns vd0
! in_netns ping -c 5 -i 0.3 -W 1 "$other_ip" > /dev/null || fail "4 MiB are enough now: this test shows nothing"
wait_for 30 app_says 'vd0: the driver has sent nothing .*bounce='
telemetry /vduse/info,vd0 "any('has sent nothing' in line for line in a['problems'])"
app_says '^  problem: .*has sent nothing' || fail "--stats says nothing"
stop_app
