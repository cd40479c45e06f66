#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vduse-dp with a --device and a net_vduse port in one process: two netdevs ping each other
# time: 300
#
#   netns guest, 10.9.9.1 ── vd0, --device ── patch ── net_vduse0, --port ── vd1 ── netns other, 10.9.9.2

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
install_driver
use_bus virtio
ip netns add other
start_app --vdev=net_vduse0,iface=vd1,attach=virtio,netdev=other0,netns=other -- \
    --device vd0,attach=virtio --port net_vduse0 --patch vd0:net_vduse0
driver_to_netns vd0
ip -n other addr add "$tap_ip/24" dev other0
ip -n other link set other0 up

pings() { # COUNT
    in_netns ping -c "$1" -i 0.02 -W 5 -q "$tap_ip" | tee -a ping.txt | grep -q " $1 received, 0% packet loss" ||
        fail "pings were lost"
}
wait_for 20 in_netns ping -c 1 -W 1 -q "$tap_ip"
step "200 pings"
pings 200
telemetry /vduse/stats,vd0 'a["from_guest"]["frames"] >= 200 and a["to_guest"]["frames"] >= 200'
telemetry /ethdev/stats,0 'a["ipackets"] >= 200 and a["opackets"] >= 200 and a["ierrors"] == 0'

step "the netdev behind the port goes down and up"
carrier() {
    in_netns ethtool "$netdev" | grep -q "Link detected: $1"
}
wait_for 10 carrier yes
ip -n other link set other0 down
ip -n other link set other0 up
wait_for 20 carrier yes
pings 20

no_complaints
stop_app
[ ! -e /dev/vduse/vd1 ] || fail "/dev/vduse/vd1 is still there"
