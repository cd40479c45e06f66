#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Two netdevs and a tap on a bridge of Open vSwitch 3.1: pings, TCP, ports that are added, removed and changed
# time: 700
#
#   netns guest, 10.9.9.1 ── vd0 ─┐
#                                 ├─ br0 ── dtap0, 10.9.9.2
#   netns other, 10.9.9.3 ── vd1 ─┘

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
# shellcheck source=test/vm/lab/ovs.sh
source /src/test/vm/lab/ovs.sh
other_ip=10.9.9.3

step "OVS starts, and gets its ports, as in the guide"
start_ovs
in_guide ovs bridge
in_guide ovs ports
wait_for 20 in_netns test -e /sys/class/net/guest0
in_guide ovs addresses | tee ping.txt
[ "$(grep -c ' 10 received, 0% packet loss' ping.txt)" = 2 ] || fail "pings were lost"

pings() { # WHEN
    step "pings $1"
    all_answered "$other_ip" in_netns
    all_answered "$tap_ip" in_other
    all_answered "$driver_ip"
}
# A port is down while it changes. OVS's main thread must then see that it is up, and revalidate its
# flows.
changed() {
    wait_for 20 in_netns ping -c 1 -W 1 "$other_ip"
    wait_for 20 ping -c 1 -W 1 "$driver_ip"
}
indices() {
    in_netns cat /sys/class/net/guest0/ifindex
    in_other cat /sys/class/net/other0/ifindex
}
pings "at first"
index=$(indices)

step "what OVS shows"
in_guide ovs list
shows vd0 error '^\[\]'
shows vd0 admin_state '^up'
shows vd0 link_state '^up'
shows vd0 link_speed '^10000000000$'
shows vd0 duplex '^full'
shows vd0 mac_in_use '^"02:00:00:00:00:10"'
shows vd1 mac_in_use '^"02:00:00:00:00:11"'
shows vd0 mtu '^1500$'
shows vd0 status:driver_name 'net_vduse'
shows vd0 statistics:rx_packets '^[1-9]'
shows vd0 statistics:tx_bytes '^[1-9]'
shows vd0 statistics:rx_errors '^0$'
shows vd0 statistics:rx_q0_packets '^[0-9]'
ovs get interface vd0 statistics | tr ',' '\n' | grep -c . > counters.txt

step "TCP between the namespaces, and with the tap, both ways"
in_other iperf3 --server --daemon --pidfile /tmp/iperf
in_other_listens() {
    in_other ss -Hltn "sport = :5201" | grep -q .
}
wait_for 10 in_other_listens
tcp() { # FILE IPERF3's words...
    local file=$1
    shift
    "$@" --time "$(times 2 4)" --json > "$file"
    bytes=$(python3 -c 'import json, sys
print(json.load(sys.stdin)["end"]["sum_received"]["bytes"])' < "$file")
    step "$file: $bytes bytes"
    [ "$bytes" -gt 1000000 ] || fail "hardly any traffic: $*"
}
tcp between.json in_netns iperf3 --client "$other_ip"
tcp between-reverse.json in_netns iperf3 --client "$other_ip" --reverse
tcp tap.json iperf3 --client "$other_ip"
tcp tap-reverse.json iperf3 --client "$other_ip" --reverse

step "another port comes and goes"
for _ in $(seq "$(times 3 10)"); do
    ovs add-port br0 vd2 -- set interface vd2 type=dpdk \
        options:dpdk-devargs=net_vduse2,iface=vd2,attach=virtio
    wait_for 20 netdev_of vd2
    shows vd2 link_state '^up'
    ovs del-port br0 vd2
    wait_for 20 test ! -e /dev/vduse/vd2
    ! netdev_of vd2 || fail "the netdev of a deleted port is still there"
done
ovs add-port br0 vd2 -- set interface vd2 type=dpdk \
    options:dpdk-devargs=net_vduse2,iface=vd2,colour=red || true
shows vd2 error 'Error attaching device'
grep -q 'colour' "$ovs_log" || fail "OVS's log does not name the wrong key"
ovs del-port br0 vd2
pings "after another port came and went"

step "queues and MTU change under traffic"
mark_ovs
in_netns ping -i 0.01 -q "$other_ip" > flood.txt &
flood=$!
in_guide ovs change
shows vd0 mtu '^9000$'
shows vd0 options:n_rxq 2
wait_for 20 eval "ovs-appctl dpif-netdev/pmd-rxq-show | grep -q 'vd0 *queue-id: *1'"
changed
pings "with two queues and an MTU of 9000"
in_netns ip link set guest0 mtu 9000
in_other ip link set other0 mtu 9000
ovs set interface vd1 mtu_request=9000
shows vd1 mtu '^9000$'
in_netns ping -M "do" -s 8972 -c 5 -i 0.2 -W 5 -q "$other_ip" | grep -q ' 5 received' || fail "no 9000 bytes"
ovs set interface vd0 options:n_rxq=1 -- set interface vd0 mtu_request=1500 -- set interface vd1 mtu_request=1500
shows vd0 mtu '^1500$'
shows vd1 mtu '^1500$'
in_netns ip link set guest0 mtu 1500
in_other ip link set other0 mtu 1500
changed
pings "with one queue again"
pkill -INT -x ping # the job is a shell around it, which heeds no SIGINT
wait "$flood" || true
tail -2 flood.txt
[ "$(indices)" = "$index" ] || fail "they are other netdevs"
driver_is_content

step "ports are removed, and their interfaces with them"
in_guide ovs remove
! in_other test -e /sys/class/net/other0 || fail "the interface is still there"
in_netns ping -c 5 -i 0.1 -W 5 -q "$tap_ip" | grep -q ' 5 received' || fail "vd0 suffers"
ovs del-port br0 vd0
wait_for 20 test ! -e /dev/vduse/vd0
systemctl stop openvswitch-switch
