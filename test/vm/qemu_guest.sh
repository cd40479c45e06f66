#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Linux guests, one after the other on one device: QEMU 11.1 with two pairs and with the default mq=off; --long: also 10.0
# time: 1200
#
# The first guest tests traffic, offloads, another MAC, ethtool -L, reboot and poweroff. The others
# must find the device in its initial state.

use_bus vhost
start_app --vdev=net_tap0,iface=dtap0 -- \
    --device vd0,attach=vhost,queues=2 --port net_tap0 --patch vd0:net_tap0
tap_up
wait_for 20 test -e /dev/vhost-vdpa-0
dd if=/dev/urandom of=/tmp/file bs=1M count=2 status=none

boot() { # NETDEV-OPTIONS DEVICE-OPTIONS
    step "a guest in $("${qemu[@]}" --version | head -1) ${2:-(mq=off)}"
    start_guest "$1" "$2"
    guest_up
}

pings_and_files() {
    step "pings, and a file both ways"
    guest_pings 10
    serve_file 5000 /tmp/file
    guest "nc $tap_ip 5000 > /tmp/file"
    take_file 5001 /tmp/back
    guest "nc $tap_ip 5001 -e cat /tmp/file" # nc itself would write a kilobyte at a time
    wait "$server_pid"
    same_file /tmp/file /tmp/back
}

# The guest uses all offloads by default and may switch them off. The tap sends no large frames, but
# the guest's command to switch them off must come through QEMU's shadow control queue.
offloads() {
    step "the guest leaves us sums and segments, and then does not"
    telemetry /vduse/info,vd0 '{"CSUM", "GUEST_CSUM", "HOST_TSO4", "GUEST_TSO4", "CTRL_GUEST_OFFLOADS"} <= set(a["feature_names"])'
    telemetry /vduse/stats,vd0 'a["from_guest"]["large"] > 10'
    for switch in rx-gro-hw tso tx; do
        commands=$(told /vduse/stats,vd0 'a["commands"]')
        guest "ethtool -K eth0 $switch off"
        [ $switch != rx-gro-hw ] || telemetry /vduse/stats,vd0 "a['commands'] > $commands"
    done
    large=$(told /vduse/stats,vd0 'a["from_guest"]["large"], a["from_guest"]["csum"]')
    take_file 5003 /tmp/back
    guest "nc $tap_ip 5003 -e cat /tmp/file"
    wait "$server_pid"
    same_file /tmp/file /tmp/back
    [ "$(told /vduse/stats,vd0 'a["from_guest"]["large"], a["from_guest"]["csum"]')" = "$large" ] ||
        fail "it still leaves us something"
    guest "ethtool -K eth0 tx on tso on rx-gro-hw on"
    telemetry /vduse/stats,vd0 'a["refused"] == 0'
}

another_mac() {
    step "another MAC"
    guest "ip link set eth0 address $1"
    wait_for 10 holds /vduse/info,vd0 "a['mac'] == '$1'"
    guest_pings
}

pairs_under_traffic() {
    step "other numbers of queue pairs, under traffic"
    serve_file 5002 /tmp/file
    guest "{ nc $tap_ip 5002 > /tmp/file2; echo done > /tmp/copied; } > /tmp/nc.txt 2>&1 &"
    for pairs in 2 1 2; do
        guest "ethtool -L eth0 combined $pairs"
        wait_for 10 holds /vduse/info,vd0 "a['active_pairs'] == $pairs"
        guest_pings
    done
    wait_for 60 guest 'test -e /tmp/copied'
    guest 'cmp /tmp/file /tmp/file2'
}

qemu=(debian13 qemu-system-x86_64)
boot queues=2 mq=on
pings_and_files
offloads
another_mac 02:aa:bb:cc:dd:ee
pairs_under_traffic
step "the guest reboots"
guest_reboot
guest_up
guest_pings
guest_poweroff

# another NETDEV-OPTIONS DEVICE-OPTIONS QEMU...
another() {
    qemu=("${@:3}")
    boot "$1" "$2"
    guest_pings
    another_mac 02:aa:bb:cc:dd:ef
    guest_poweroff
}
another '' '' debian13 qemu-system-x86_64
# In nested emulation, a guest of QEMU 10.0 takes a minute more to find a device on its PCI bus.
if [ -n "${LONG:-}" ]; then
    another '' '' qemu-system-x86_64
    another queues=2 mq=on qemu-system-x86_64
fi

stop_app
