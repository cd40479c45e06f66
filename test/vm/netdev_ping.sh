#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The kernel's netdev on a device and a tap: pings, speed, and the tap's link state
# time: 500

use_bus virtio
start_app --vdev=net_tap0,iface=dtap0 -- \
    --device vd0,attach=virtio,speed=25000 --port net_tap0 --patch vd0:net_tap0
tap_up
driver_to_netns vd0

carrier() {
    in_netns ethtool "$netdev" | grep -q "Link detected: $1"
}
wait_for 10 carrier yes
speed=$(in_netns ethtool "$netdev" | sed -n 's/.*Speed: //p')
[ "$speed" = 25000Mb/s ] || fail "ethtool shows the speed $speed"

step "200 pings"
in_netns ping -c 200 -i 0.02 -W 5 -q "$tap_ip" | tee ping.txt
grep -q ' 200 received, 0% packet loss' ping.txt || fail "pings were lost"

step "the tap goes down and up"
ip link set dtap0 down
wait_for 20 carrier no
ip link set dtap0 up
wait_for 20 carrier yes
in_netns ping -c 5 -i 0.1 -W 5 -q "$tap_ip" | grep -q ' 5 received' || fail "no pings after it"

step "no child of the application gets the device or the journal"
checked=0
for fd in "/proc/$app_pid/fd/"*; do
    [[ $(readlink "$fd") =~ /(dev/vduse|run/vduse-dp)/ ]] || continue
    flags=$(awk '$1 == "flags:" { print $2 }' "/proc/$app_pid/fdinfo/${fd##*/}")
    ((8#$flags & 8#2000000)) || fail "$(readlink "$fd") is inherited"
    checked=$((checked + 1))
done
[ "$checked" -ge 3 ] || fail "of control, device and journal, only $checked are open"

step "SIGTERM under traffic"
ip netns exec guest ping -i 0.005 -q "$tap_ip" > flood.txt 2>&1 &
flood=$!
sleep 0.5
stop_app
kill "$flood" 2> /dev/null || true # it has ended if it noticed
wait "$flood" || true
