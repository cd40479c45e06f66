#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vduse-dp is stopped (SIGSTOP) while the kernel waits for it: below the kernel's timeout, and above it, which breaks the device
# time: 300
#
# The kernel's default timeout is 30 s. Here it is set to 6 s, so 4 s correspond to 20 s, and 8 s to
# 40 s.
#
#   vd0 ── reflected           netns guest, 10.9.9.1 ── vd1 ── dtap0, 10.9.9.2

patience=6 short=4 long=8
quick_starts net_tap
use_bus virtio
start() {
    start_app --vdev=net_tap0,iface=dtap0,mac=fixed -- --device vd0,attach=virtio,queues=2 --reflect vd0 \
        --device vd1,attach=virtio --port net_tap0 --patch vd1:net_tap0
    tap_up
}
start
driver_to_netns vd1
wait_for 20 netdev_of vd0
victim=$(netdev_of vd0)
ip link set "$victim" up
echo "$patience" > /sys/class/vduse/vd0/msg_timeout
pings() { # WHEN
    in_netns ping -c 10 -i 0.05 -W 5 -q "$tap_ip" | grep -q ' 10 received, 0% packet loss' || fail "pings of vd1 are lost $1"
}
pings "at first"
virtio_device=$(basename "$(dirname "$(dirname "$(realpath "/sys/class/net/$victim")")")")
driver_does() { # bind|unbind
    echo "$virtio_device" > "/sys/bus/virtio/drivers/virtio_net/$1"
}

step "stopped while a command of ethtool waits"
kill -STOP "$app_pid"
ethtool -L "$victim" combined 1 &
waiting=$!
sleep "$short" # the time for which it is stopped
! gone "$waiting" || fail "nobody answered, and yet ethtool has ended"
kill -CONT "$app_pid"
wait "$waiting" || fail "ethtool failed"
wait_for 10 holds /vduse/info,vd0 'a["active_pairs"] == 1'
pings "after the first stop"

step "stopped while the driver's reset waits"
kill -STOP "$app_pid"
driver_does unbind &
waiting=$!
sleep "$short"
! gone "$waiting" || fail "nobody answered, and yet the driver is gone"
kill -CONT "$app_pid"
wait "$waiting" || fail "the driver could not go"
driver_does bind
wait_for 20 netdev_of vd0
pings "after the second stop"
! app_says "out of service" || fail "vduse-dp gave something up"

step "stopped for longer than the kernel waits"
mark_log
kill -STOP "$app_pid"
driver_does unbind &
waiting=$!
sleep "$long"
wait_for 10 gone "$waiting"
wait "$waiting" || true
kill -CONT "$app_pid"
wait_for 10 app_says "vd0: out of service: "
grep "out of service" "$app_log"
pings "while vd0 is broken"

step "which costs no CPU"
# Prints the CPU ticks of the main lcore's thread. The other lcore polls for vd1.
main_ticks() {
    awk '{ print $14 + $15 }' "/proc/$app_pid/task/$app_pid/stat"
}
before=$(main_ticks)
sleep 3 # the time over which CPU is counted
ticks=$(($(main_ticks) - before))
step "$ticks of 300 ticks"
[ "$ticks" -lt 100 ] || fail "the control thread spins: $ticks of 300 ticks"
[ "$(grep -c "out of service" "$app_log")" = 1 ] || fail "it says so again and again"

step "vduse-dp ends with status 1"
kill -TERM "$app_pid"
wait_for 30 gone "$app_pid"
status=0
wait "$app_pid" || status=$?
[ "$status" = 1 ] || fail "it ended with status $status"
[ ! -e /dev/vduse/vd1 ] || fail "vd1 is still there"

step "a new device of that name is good"
[ ! -e /sys/bus/vdpa/devices/vd0 ] || vdpa dev del vd0
ip netns del guest
start
driver_to_netns vd1
wait_for 20 netdev_of vd0
ip link set "$(netdev_of vd0)" up
pings "after the next start"
stop_app
