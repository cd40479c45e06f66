#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A kernel that refuses the control queue: one pair and one warning, or an error with ctrl_vq=on; XDP with csum=0
# needs: module=stock
# time: 500

reason='kernel refuses VIRTIO_NET_F_CTRL_VQ'

step "ctrl_vq=on is an error"
status=0
timeout 60 "${app[@]}" "${app_eal[@]}" -- --device vd0,queues=2,ctrl_vq=on > on.log 2>&1 || status=$?
[ "$status" = 1 ] || fail "exit status $status with ctrl_vq=on: $(tail -3 on.log)"
grep -q "$reason" on.log || fail "no reason with ctrl_vq=on: $(tail -3 on.log)"
[ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 stays behind"

step "ctrl_vq=auto falls back"
use_bus virtio
start_app --vdev=net_tap0,iface=dtap0 -- \
    --device vd0,attach=virtio,queues=2 --port net_tap0 --patch vd0:net_tap0
warnings=$(grep -c "$reason" "$app_log" || true)
[ "$warnings" = 1 ] || fail "$warnings lines say: $reason"
tap_up
driver_to_netns vd0
in_netns ethtool -l "$netdev" | grep -q '^Combined:.*[2-9]' && fail "more than one pair"
in_netns ping -c 20 -i 0.1 -W 5 -q "$tap_ip" | tee ping.txt
grep -q ' 20 received' ping.txt || fail "pings were lost"
step "no XDP, as nobody could be told to finish frames"
! xdp_on guest "$netdev" 2> /tmp/refused || fail "virtio_net takes a program: csum=0 is not needed any more"
grep -q 'implementing GRO_HW/CSUM' /tmp/refused || fail "another reason: $(cat /tmp/refused)"
stop_app

step "XDP with csum=0"
ip netns del guest
start_app --vdev=net_tap0,iface=dtap0 -- \
    --device vd0,attach=virtio,csum=0 --port net_tap0 --patch vd0:net_tap0
tap_up
driver_to_netns vd0
xdp_on guest "$netdev"
all_answered "$tap_ip" in_netns
stop_app
