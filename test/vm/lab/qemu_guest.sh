#!/bin/bash
# The body of the scenarios qemu_guest*: a Linux guest uses a device with two queue pairs.
#
# Set before: qemu (which QEMU) and mq (on or off: what QEMU is told; off is its default).

# shellcheck disable=SC2154  # mq
if [ "$mq" = on ]; then
    netdev_options=queues=2 device_options=mq=on
else
    netdev_options='' device_options=''
fi

use_bus vhost
start_app --vdev=net_tap0,iface=dtap0 -- --stats 1 \
    --device vd0,attach=vhost,queues=2 --port net_tap0 --patch vd0:net_tap0
tap_up
wait_for 20 test -e /dev/vhost-vdpa-0

step "a guest boots in $("${qemu[@]}" --version | head -1)"
start_guest "$netdev_options" "$device_options"
guest_up

step "pings"
guest_pings 10

step "a file, both ways"
dd if=/dev/urandom of=/tmp/file bs=1M count=8 status=none
serve_file 5000 /tmp/file
guest "nc $tap_ip 5000 > /tmp/file"
take_file 5001 /tmp/back
guest "nc $tap_ip 5001 < /tmp/file"
wait "$server_pid"
same_file /tmp/file /tmp/back

step "another MAC"
mark_log
guest 'ip link set eth0 address 02:aa:bb:cc:dd:ee'
wait_for 10 app_says 'mac 02:aa:bb:cc:dd:ee'
guest_pings

if [ "$mq" = on ]; then
    step "other numbers of queue pairs, under traffic"
    serve_file 5002 /tmp/file
    guest "{ nc $tap_ip 5002 > /tmp/file2; echo done > /tmp/copied; } > /tmp/nc.txt 2>&1 &"
    for pairs in 2 1 2; do
        mark_log
        guest "ethtool -L eth0 combined $pairs"
        wait_for 10 app_says "pairs $pairs of 2"
        guest_pings
    done
    wait_for 60 guest 'test -e /tmp/copied'
    guest 'cmp /tmp/file /tmp/file2'
fi

step "the guest reboots"
guest_reboot
guest_up
guest_pings

step "the guest goes, another QEMU comes"
guest_poweroff
start_guest "$netdev_options" "$device_options"
guest_up
guest_pings
guest_poweroff

stop_app
