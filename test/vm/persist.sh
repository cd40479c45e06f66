#!/bin/bash
# vduse-dp with persist=1 ends, is killed, and starts again under a netdev, which does not notice
# time: 200

use_bus virtio
start() {
    start_app --vdev=net_tap0,iface=dtap0,mac=fixed -- \
        --device vd0,attach=virtio,queues=2,persist=1 --port net_tap0 --patch vd0:net_tap0 \
        --stats 1
    tap_up
}

pings() {
    in_netns ping -c 20 -i 0.05 -W 5 -q "$tap_ip" | grep -q ' 20 received, 0% packet loss' ||
        fail "pings were lost $1"
}

start
driver_to_netns vd0
in_netns ethtool -L "$netdev" combined 2
in_netns ip link add link "$netdev" name v5 type vlan id 5
pings "before the first end"
index=$(in_netns cat "/sys/class/net/$netdev/ifindex")

for signal in TERM KILL TERM KILL; do
    step "SIG$signal, and another one"
    kill -"$signal" "$app_pid"
    wait_for 30 gone "$app_pid"
    wait "$app_pid" || true
    [ -e /dev/vduse/vd0 ] || fail "the device went with the process"
    in_netns ip -br link show dev "$netdev" | grep -q LOWER_UP || fail "the netdev lost its carrier"
    start
    app_says "vd0: goes on with the device that is there" || fail "it did not go on"
    pings "after SIG$signal"
    [ "$(in_netns cat "/sys/class/net/$netdev/ifindex")" = "$index" ] || fail "it is another netdev"
    wait_for 10 app_says "pairs 2 of 2"
    wait_for 10 app_says " 2 vlans" # 0 and 5
done

step "the driver still commands"
in_netns ip link del v5
in_netns ethtool -L "$netdev" combined 1
mark_log
wait_for 10 app_says "pairs 1 of 2"
pings "with one pair"

step "without persist=1 it is made anew"
vdpa dev del vd0
kill -TERM "$app_pid"
wait_for 30 gone "$app_pid"
[ -e /dev/vduse/vd0 ] || fail "the device went with the process"
start_app -- --device vd0
stop_app
