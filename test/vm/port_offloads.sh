#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A port with checksum offload and TSO: a kernel tap through net_virtio_user and vhost_net, both ways
# time: 400

modprobe -a vhost_net
use_bus virtio
app_eal+=(--iova-mode=va)
# in_order=0 is needed: otherwise DPDK 22.11 misreads the buffers that Linux 7.3 returns, and large
# frames arrive truncated.
start_app --vdev=net_virtio_user0,path=/dev/vhost-net,iface=dtap0,queue_size=1024,in_order=0 -- \
    --device vd0,attach=virtio --port net_virtio_user0 --patch vd0:net_virtio_user0
tap_up
driver_to_netns vd0

iperf3 --server --daemon
wait_for 10 listening 5201
iperf() {
    step "iperf3 $*"
    in_netns iperf3 --client "$tap_ip" --time "$(times 2 10)" --json "$@" > iperf3.json
    step "$(python3 -c 'import json, sys
print(round(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"] / 1e6), "Mbit/s")' < iperf3.json)"
}
iperf
telemetry /vduse/stats,vd0 'a["from_guest"]["large"] > 100'
iperf --reverse
telemetry /vduse/stats,vd0 'a["to_guest"]["large"] > 100 and a["to_guest"]["csum_done"] == a["to_guest"]["cut"] == 0'
step "UDP"
in_netns iperf3 --client "$tap_ip" --udp --bandwidth 20M --time 1 --json > udp.json

step "a file, both ways, and into a driver that takes no large frames"
file_both_ways 16
in_netns ethtool -K "$netdev" rx-gro-hw off
serve_file 5002 /tmp/file
in_netns bash -c "cat < /dev/tcp/$tap_ip/5002" > /tmp/small
same_file /tmp/file /tmp/small
telemetry /vduse/stats,vd0 'a["to_guest"]["cut"] > 10'

no_complaints 'has no promiscuous mode'
mark_log
stop_app
app_says '^net_virtio_user0: .* 0 dropped 0 finished [1-9][0-9]{2,} offloaded' ||
    fail "not the port did it: $(grep ^net_virtio_user0: "$app_log")"
