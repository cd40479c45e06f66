#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vduse-dp loses or lacks a resource: vdpa dev del, modules, hugepages, descriptors, locked memory, room for the journal
# time: 200

quick_starts net_tap
use_bus virtio
pings() { # WHEN
    in_netns ping -c 10 -i 0.05 -W 5 -q "$tap_ip" | grep -q ' 10 received, 0% packet loss' || fail "pings are lost $1"
}
# shellcheck disable=SC2054  # commas of the options
tap=(--vdev=net_tap0,iface=dtap0,mac=fixed)
patched=(--device "vd0,attach=virtio" --port net_tap0 --patch vd0:net_tap0)
start_app "${tap[@]}" -- "${patched[@]}"
tap_up
driver_to_netns vd0

step "modules in use cannot be removed"
for module in vduse vdpa; do
    ! rmmod "$module" || fail "$module was removed"
done
lsmod | grep -q '^vduse ' || fail "vduse is gone"

step "virtio_vdpa, which nothing holds, is removed and comes back"
modprobe -r virtio_vdpa
mark_log
wait_for 20 test ! -e "/sys/bus/vdpa/devices/vd0/driver"
modprobe virtio_vdpa
wait_for 20 netdev_of vd0
ip netns del guest
driver_to_netns vd0
pings "after virtio_vdpa came back"

step "vdpa dev del under traffic"
in_netns ping -i 0.01 -q "$tap_ip" > flood.txt &
flood=$!
pings "beside others"
mark_log
vdpa dev del vd0
wait_for 10 app_says "vd0: driver gone"
pkill -INT -x ping || true # it may have ended with its netdev
wait "$flood" || true
vdpa dev add name vd0 mgmtdev vduse
wait_for 20 netdev_of vd0
ip netns del guest
driver_to_netns vd0
pings "after vdpa dev del and vdpa dev add"
vdpa dev del vd0
stop_app

# ends STATUS PATTERN COMMAND...: COMMAND must exit with that status, and print a line that matches.
ends() {
    local wanted=$1 pattern=$2 status=0
    shift 2
    timeout 60 "$@" < /dev/null > /tmp/ends.log 2>&1 || status=$?
    grep -E "$pattern" /tmp/ends.log || fail "no line with '$pattern': $(tail -5 /tmp/ends.log)"
    [ "$status" = "$wanted" ] || fail "status $status: $(tail -5 /tmp/ends.log)"
    [ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 is still there"
}

step "no hugepages"
overcommit=$(cat /proc/sys/vm/nr_overcommit_hugepages)
echo 0 > /proc/sys/vm/nr_overcommit_hugepages
echo 0 > /proc/sys/vm/nr_hugepages
ends 1 'vduse-dp: EAL initialization failed' "${app[@]}" "${app_eal[@]}" -- --device vd0 --reflect vd0
echo 8 > /proc/sys/vm/nr_overcommit_hugepages
# 8 hugepages are enough for EAL to start, but not for the pool of mbufs.
ends 1 'pool of [0-9]+ mbufs' "${app[@]}" -l 0-1 --no-pci --in-memory --iova-mode=va -- \
    --device vd0,mtu=9000 --device vd1,mtu=9000 --patch vd0:vd1
echo "$overcommit" > /proc/sys/vm/nr_overcommit_hugepages

step "few descriptors"
for limit in 12 20 40; do
    status=0
    (ulimit -n "$limit" && exec timeout 60 "${app[@]}" "${app_eal[@]}" --no-telemetry -- --device vd0,queues=64 --reflect vd0) \
        > "descriptors-$limit.log" 2>&1 < /dev/null || status=$?
    tail -1 "descriptors-$limit.log"
    [ "$status" = 1 ] || fail "with $limit descriptors: status $status"
    grep -qE 'Too many open files|EAL' "descriptors-$limit.log" || fail "with $limit descriptors it does not say why"
    [ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 is still there"
done

step "no locked memory"
(
    ulimit -l 0
    start_app "${tap[@]}" -- "${patched[@]}"
    echo "$app_pid" > /tmp/app_pid
)
app_pid=$(cat /tmp/app_pid)
app_names=vd0
tap_up
ip netns del guest
driver_to_netns vd0
pings "without locked memory"
kill -TERM "$app_pid"
wait_for 30 gone "$app_pid"

step "no room for the journal"
mkdir -p /run/vduse-dp
mount -t tmpfs -o size=8k tmpfs /run/vduse-dp
dd if=/dev/zero of=/run/vduse-dp/full bs=4k count=100 2> /dev/null || true
ends 1 'journal: .*No space left' "${app[@]}" "${app_eal[@]}" -- --device vd0,persist=1 --reflect vd0
start_app "${tap[@]}" -- "${patched[@]}"
grep "the device will not survive a crash" "$app_log" || fail "it does not say that it has no journal"
tap_up
ip netns del guest
driver_to_netns vd0
pings "without a journal"
stop_app
umount /run/vduse-dp
