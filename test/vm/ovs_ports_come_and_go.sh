#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Open vSwitch ports with netdevs are added and removed under traffic and with their namespaces, with and without persist=1
# time: 600
#
#   netns n1 ── vd1 ─┬─ br0 ── dtap0
#   netns n2 ── vd2 ─┘

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
# shellcheck source=test/vm/lab/ovs.sh
source /src/test/vm/lab/ovs.sh

start_ovs
modprobe -a vduse virtio_vdpa virtio_net
ovs add-br br0 -- set bridge br0 datapath_type=netdev
ovs add-port br0 dtap0 -- set interface dtap0 type=tap
tap_up
mark_ovs

# `ip link` hangs if another process holds RTNL.
link_answers() {
    timeout 20 ip link set lo up || fail "$1: 'ip link' does not answer"
    timeout 20 ip -br link > /dev/null || fail "$1: 'ip link' does not answer"
}

add() { # NUMBER PERSIST
    ip netns add "n$1"
    ovs add-port br0 "vd$1" -- set interface "vd$1" type=dpdk \
        "options:dpdk-devargs=net_vduse$1,iface=vd$1,queues=2,attach=virtio,netdev=e$1,netns=n$1,persist=$2"
    wait_for 20 ip netns exec "n$1" test -e "/sys/class/net/e$1"
    ip -n "n$1" addr add "10.9.9.1$1/24" dev "e$1"
    ip -n "n$1" link set "e$1" up
}

left() { # NUMBER
    ! netdev_of "vd$1" || fail "$way: the netdev of vd$1 is still there"
    [ ! -e "/dev/vduse/vd$1" ] || fail "$way: vd$1 is still there"
    [ ! -e "/sys/bus/vdpa/devices/vd$1" ] || fail "$way: vd$1 is still on the bus"
}

ways=(singly together namespaces-first namespaces-meanwhile commands-meanwhile)
for round in $(seq "$(times 5 20)"); do
    way=${ways[$((round % ${#ways[@]}))]}
    step "round $round: $way, persist=$((round % 2))"
    add 1 0
    add 2 $((round % 2))
    ip netns exec n1 ping -c 3 -i 0.05 -W 5 -q 10.9.9.12 | grep -q ' 3 received' || fail "no traffic"
    ip netns exec n1 ping -f -q 10.9.9.12 > /dev/null 2>&1 &
    ip netns exec n2 ping -f -q "$tap_ip" > /dev/null 2>&1 &
    case $way in
    singly)
        ovs del-port br0 vd1
        link_answers "after vd1"
        ovs del-port br0 vd2
        ;;
    together)
        ovs del-port br0 vd1 -- del-port br0 vd2
        ;;
    namespaces-first)
        # The ping processes keep the namespaces until they exit. Then the netdevs return to the
        # host's namespace.
        ip netns del n1
        ip netns del n2
        pkill -x ping || true
        link_answers "after the namespaces"
        ovs del-port br0 vd1 -- del-port br0 vd2
        ;;
    namespaces-meanwhile)
        pkill -x ping || true
        ip netns del n1 &
        ip netns del n2 &
        ovs del-port br0 vd1 -- del-port br0 vd2
        ;;
    commands-meanwhile)
        (while ip netns exec n2 ethtool -L e2 combined $((RANDOM % 2 + 1)); do :; done) > /dev/null 2>&1 &
        ovs del-port br0 vd2 -- del-port br0 vd1
        ;;
    esac
    pkill -x ping || true
    link_answers "round $round"
    for number in 1 2; do
        wait_for 20 eval "! netdev_of vd$number"
        left "$number"
        ip netns del "n$number" 2> /dev/null || true
    done
    timeout 20 ovs-vsctl --timeout=10 list-ports br0 > ports.txt || fail "Open vSwitch does not answer"
    [ "$(cat ports.txt)" = dtap0 ] || fail "ports: $(cat ports.txt)"
done
[ -z "$(ls /run/vduse-dp 2> /dev/null)" ] || fail "journals stay: $(ls /run/vduse-dp)"
link_answers "in the end"
driver_is_content
timeout 60 systemctl stop openvswitch-switch || fail "Open vSwitch does not stop"
