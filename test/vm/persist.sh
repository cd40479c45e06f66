#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vduse-dp is killed and restarted under a netdev, which does not notice; what remains after an orderly exit
# time: 400

use_bus virtio
start() {
    start_app --vdev=net_tap0,iface=dtap0,mac=fixed -- \
        --device vd0,attach=virtio,queues=2 --port net_tap0 --patch vd0:net_tap0
    tap_up
}

start
driver_to_netns vd0
in_netns ethtool -L "$netdev" combined 2
in_netns ip link add link "$netdev" name v5 type vlan id 5
all_answered "$tap_ip" in_netns
index=$(in_netns cat "/sys/class/net/$netdev/ifindex")

for round in 1 2 3; do
    step "SIGKILL, and another one: $round"
    kill -KILL "$app_pid"
    wait_for 30 gone "$app_pid"
    wait "$app_pid" || true
    [ -e /dev/vduse/vd0 ] || fail "the device went with the process"
    in_netns ip -br link show dev "$netdev" | grep -q LOWER_UP || fail "the netdev lost its carrier"
    start
    app_says "vd0: adopted the existing device" || fail "it was not adopted"
    all_answered "$tap_ip" in_netns
    [ "$(in_netns cat "/sys/class/net/$netdev/ifindex")" = "$index" ] || fail "it is another netdev"
    wait_for 10 holds /vduse/info,vd0 'a["active_pairs"] == 2 and a["vlans"] == 2' # VLANs 0 and 5
done

# Linux holds RTNL until a control queue command is answered. Creating or closing a tap needs RTNL
# too.
step "a command while nobody is there"
kill -KILL "$app_pid"
wait "$app_pid" || true
in_netns ethtool -L "$netdev" combined 1 &
command=$!
start
wait "$command"
all_answered "$tap_ip" in_netns

step "killed while a command is under way"
kill -STOP "$app_pid"
in_netns ethtool -L "$netdev" combined 2 &
command=$!
sleep 1 # it shows nowhere that the command is under way
kill -KILL "$app_pid" # it has a tap to close, so it cannot end yet
killed=$app_pid
start
wait "$command"
wait "$killed" || true
all_answered "$tap_ip" in_netns

step "a start that fails leaves the device as it was"
kill -KILL "$app_pid"
wait "$app_pid" || true
status=0
"${app[@]}" "${app_eal[@]}" --vdev=net_tap0,iface=dtap0 -- --device vd0,attach=virtio,queues=2 \
    --port net_tap7 --patch vd0:net_tap7 > /tmp/failed 2>&1 || status=$?
cat /tmp/failed
[ "$status" = 2 ] || fail "it ended with status $status"
grep -q "^vduse-dp: --port net_tap7: no such DPDK port, existing ports: net_tap0$" /tmp/failed || fail "it does not say why"
start
app_says "vd0: adopted the existing device" || fail "it was not adopted"
all_answered "$tap_ip" in_netns

step "the driver still commands"
in_netns ip link del v5
in_netns ethtool -L "$netdev" combined 1
wait_for 10 holds /vduse/info,vd0 'a["active_pairs"] == 1'
all_answered "$tap_ip" in_netns

# If the netdev stayed without a process that serves it, the next change of it or its namespace
# would hold RTNL forever.
step "an orderly end takes a netdev away, while commands come, and with persist=1, too"
commands() {
    local pairs=1
    while in_netns ethtool -L "$netdev" combined "$pairs" 2> /dev/null; do
        pairs=$((3 - pairs))
        echo >> /tmp/commands
    done
}
more_commands() {
    [ "$(wc -l < /tmp/commands)" -gt 3 ]
}
for persist in 0 1; do
    rm -f /tmp/commands
    commands &
    wait_for 20 more_commands
    kill -TERM "$app_pid"
    wait_for 30 gone "$app_pid"
    wait "$app_pid" || fail "persist=$persist: it ended with status $?"
    wait_for 10 eval "! in_netns ip link show dev $netdev"
    ip -br link > /dev/null
    ip netns del guest
    [ ! -e /dev/vduse/vd0 ] || fail "persist=$persist: the device is still there"
    [ "$persist" = 1 ] || {
        start_app --vdev=net_tap0,iface=dtap0,mac=fixed -- --device vd0,attach=virtio,queues=2,persist=1 \
            --port net_tap0 --patch vd0:net_tap0
        app_says "note: vd0: persist=1 has no effect with attach=virtio" || fail "no note on persist=1"
        tap_up
        driver_to_netns vd0
        all_answered "$tap_ip" in_netns
    }
done

step "with persist=1 a device for QEMU stays on the bus, and the next one goes on with it"
modprobe -r virtio_vdpa
use_bus vhost
start_app -- --device vd0,attach=vhost,persist=1
wait_for 20 app_says "vd0: attached, driver vhost_vdpa, /dev/vhost-vdpa-[0-9]"
kill -TERM "$app_pid"
wait_for 30 gone "$app_pid"
wait "$app_pid" || fail "it ended with status $?"
[ -e /dev/vhost-vdpa-0 ] || fail "the device went with the process"
start_app -- --device vd0,attach=vhost,persist=1
app_says "vd0: adopted the existing device" || fail "it was not adopted"
kill -TERM "$app_pid"
wait_for 30 gone "$app_pid"
vdpa dev del vd0

step "without persist=1 it is made anew"
[ -e /dev/vduse/vd0 ] || fail "the device went with the process"
start_app -- --device vd0
stop_app
