#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# TCP between the kernel's netdev on a device and a tap: rates and files, both ways
# time: 700

use_bus virtio
start_app --vdev=net_tap0,iface=dtap0 -- \
    --device vd0,attach=virtio --port net_tap0 --patch vd0:net_tap0
tap_up
driver_to_netns vd0

iperf3 --server --daemon
wait_for 10 listening 5201
for reverse in '' --reverse; do
    step "iperf3 $reverse"
    in_netns iperf3 --client "$tap_ip" --time "$(times 3 10)" --json $reverse > "iperf3$reverse.json"
    bytes=$(python3 -c 'import json, sys
print(json.load(sys.stdin)["end"]["sum_received"]["bytes"])' < "iperf3$reverse.json")
    step "$bytes bytes"
    [ "$bytes" -gt 1000000 ] || fail "hardly any traffic"
done
step "segments that came from the tap in one burst were merged"
telemetry /vduse/stats,vd0 'a["to_guest"]["merged"] > 100 and a["to_guest"]["large"] > 10'

step "a file, both ways"
file_both_ways 32

stop_app
