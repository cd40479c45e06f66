#!/bin/bash
# Linux guests, one after the other on one device: QEMU 11.1, 10.0, and 11.1 with its default mq=off
# time: 1200
#
# The first guest does everything that a guest does: traffic, another MAC, ethtool -L, reboot,
# poweroff. The others find the device as good as new.

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
another_mac 02:aa:bb:cc:dd:ee
pairs_under_traffic
step "the guest reboots"
guest_reboot
guest_up
guest_pings
guest_poweroff

qemu=(qemu-system-x86_64)
boot queues=2 mq=on
guest_pings
another_mac 02:aa:bb:cc:dd:ee
guest_poweroff

qemu=(debian13 qemu-system-x86_64)
boot '' ''
guest_pings
another_mac 02:aa:bb:cc:dd:ef
guest_poweroff

stop_app
