#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# DPDK's telemetry reports a device's state and counters while traffic flows
# time: 400

use_bus virtio
start_app --vdev=net_tap0,iface=dtap0 -- \
    --device vd0,attach=virtio --port net_tap0 --patch vd0:net_tap0
tap_up
driver_to_netns vd0
all_answered "$tap_ip" in_netns

step "dpdk-telemetry.py"
echo /vduse/list | /usr/bin/dpdk-telemetry.py > list.json || fail "dpdk-telemetry.py failed"
grep -q '"vd0"' list.json || fail "/vduse/list: $(cat list.json)"

step "answers about a device with a driver"
telemetry /vduse/list 'a == ["vd0"]'
telemetry /vduse/info,vd0 '"DRIVER_OK" in a["status_names"] and a["status"] == "0xf"'
telemetry /vduse/info,vd0 'a["api_version"] == 1 and "SUSPEND" in a["kernel_features"]'
telemetry /vduse/info,vd0 '{"VERSION_1", "CTRL_VQ", "MTU"} <= set(a["feature_names"])'
telemetry /vduse/info,vd0 'a["groups"]["0"]["lcore"] == 1 and a["groups"]["1"]["lcore"] == 0'
telemetry /vduse/info,vd0 'a["spaces"]["0"]["region_count"] >= len(a["spaces"]["0"]["regions"]) > 0'
telemetry /vduse/info,vd0 'a["link"] == "up" and a["active_pairs"] == 1'
telemetry /vduse/stats,vd0 'a["from_guest"]["frames"] >= 20 and a["to_guest"]["bytes"] >= 20 * 98'
telemetry /vduse/queue,vd0,0 'a["use"] == "to_guest" and a["running"] == "yes" and a["size"] > 0'
telemetry /vduse/queue,vd0,1 'a["use"] == "from_guest" and a["stats"]["frames"] >= 20'
telemetry /vduse/queue,vd0,2 'a["use"] == "control"'
telemetry /vduse/events,vd0 'any("SET_STATUS 0xf: ok" in line for line in a)'

step "bad parameters"
for command in /vduse/list,vd0 /vduse/info '/vduse/info,' /vduse/info,vd1 /vduse/stats,vd0,1 \
    /vduse/queue,vd0 /vduse/queue,vd0,3 /vduse/queue,vd0,-1 '/vduse/events,'; do
    telemetry "$command" 'a is None'
done

step "50 questions while 200 pings pass"
in_netns ping -c 200 -i 0.02 -W 5 -q "$tap_ip" > ping.txt &
pings=$!
for _ in $(seq 50); do
    telemetry /vduse/info,vd0 'a["link"] == "up"'
done
wait "$pings" || fail "ping ended with status $?"
grep -q ' 200 received, 0% packet loss' ping.txt || fail "pings were lost: $(tail -2 ping.txt)"

step "vduse-dp-top while pings pass"
ip netns exec guest ping -i 0.05 -q "$tap_ip" > /dev/null &
pings=$!
/build/tools/vduse-dp-top -b -n 2 > top.txt || fail "vduse-dp-top ended with status $?"
kill "$pings"
for side in from_guest to_guest; do
    [ "$(grep -c "^  $side " top.txt)" = 2 ] || fail "not two rounds with $side in top.txt"
    grep "^  $side " top.txt | tail -1 | awk '{ exit !($2 > 0 && $3 > 0) }' || fail "no rates $side in top.txt"
done
grep -q '^vd0: link up, 1 of 1 pair,' top.txt || fail "no device in top.txt"
grep -qE '^  group 0 +data, .*asid 0, lcore 1$' top.txt || fail "no group 0 in top.txt"
grep -qE '^  space 0 +[1-9][0-9]* regions?: .* on node' top.txt || fail "no space 0 in top.txt"

stop_app
if /build/tools/vduse-dp-top -b -n 1 2> gone.txt ||
    ! grep -q '^vduse-dp-top: vduse-dp is not running: ' gone.txt; then
    fail "vduse-dp-top without vduse-dp: $(cat gone.txt)"
fi
