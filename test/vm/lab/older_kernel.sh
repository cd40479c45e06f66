#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The body of the scenarios kernel_v0 and kernel_v1: a kernel whose VDUSE lacks features of Linux
# 7.3.
#
# Usage: source older_kernel.sh API-VERSION LINUX MISSING...
#
# LINUX: the first version that has more features. MISSING: the features that the single warning
# must name.
#
#   netns guest, 10.9.9.1 ── vd0 ── dtap0, 10.9.9.2        QEMU ── vd1 ── reflected

api_version=$1
missing=("${@:3}")
release=$(uname -r)
[ "$(printf '%s\n' "$release" "$2" | sort -V | tail -1)" = "$2" ] ||
    skip "the suite has moved on to Linux $release"

step "Linux $release: what it lacks is said once for each device"
modprobe vhost_vdpa
use_bus virtio
start_app --vdev=net_tap0,iface=dtap0 -- --port net_tap0 \
    --device vd0,attach=virtio --patch vd0:net_tap0 \
    --device vd1,attach=vhost,mac=02:00:00:00:00:10 --reflect vd1
telemetry /vduse/info,vd0 "a['api_version'] == $api_version and a['kernel_features'] == []"
for device in vd0 vd1; do
    line=$(grep "$device: VDUSE of Linux $release lacks" "$app_log" || true)
    [ -n "$line" ] || fail "no line says what the kernel lacks"
    [ "$(wc -l <<< "$line")" = 1 ] || fail "said more than once: $line"
    for part in "${missing[@]}"; do
        grep -q "$part" <<< "$line" || fail "$part is not named: $line"
    done
done

step "pings both ways"
tap_up
driver_to_netns vd0
pings() {
    all_answered "$tap_ip" in_netns
    all_answered "$driver_ip"
}
pings

step "the link follows the tap"
carrier() {
    in_netns ethtool "$netdev" | grep -q "Link detected: $1"
}
wait_for 10 carrier yes
ip link set dtap0 down
wait_for 20 carrier no
ip link set dtap0 up
wait_for 20 carrier yes

step "the driver goes and comes back"
echo vd0 > /sys/bus/vdpa/drivers/virtio_vdpa/unbind
ip netns del guest
echo vd0 > /sys/bus/vdpa/drivers/virtio_vdpa/bind
driver_to_netns vd0
pings

step "QEMU"
wait_for 20 test -e /dev/vhost-vdpa-0
status=0
PYTHONPATH=/src/test/vm python3 -B -m qtest.older_kernel --folder /tmp/qtest ||
    status=$?
cp /tmp/qtest/output /out/qemu.log || true
[ "$status" = 0 ] || exit "$status" # the reason is printed

stop_app

step "rings that the default bounce memory is too small for"
start_app --vdev=net_tap0,iface=dtap0 -- --port net_tap0 --device vd0,attach=virtio,queue_size=8192 --patch vd0:net_tap0
[ "$(cat /sys/class/vduse/vd0/bounce_size)" -gt 67108864 ] || fail "it was not asked for more"
tap_up
driver_to_netns vd0
pings
stop_app

step "options that need more are refused"
refused() { # OPTIONS REASON
    local status=0
    timeout 60 "${app[@]}" "${app_eal[@]}" -- --device "vd0,$1" > refused.log 2>&1 || status=$?
    [ "$status" = 1 ] || fail "exit status $status with $1: $(tail -3 refused.log)"
    grep -q "$2" refused.log || fail "with $1, no line says '$2': $(tail -3 refused.log)"
    [ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 stays behind"
}
refused queues=2,ctrl_vq=on 'kernel refuses VIRTIO_NET_F_CTRL_VQ'
if [ "$api_version" = 0 ]; then
    refused groups=per-pair "groups=per-pair needs VDUSE API version 1, and Linux $release has version 0"
fi
