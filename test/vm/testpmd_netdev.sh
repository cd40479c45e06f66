#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# testpmd's net_vduse port with a kernel netdev: echo and mac modes, every command, hotplug, stop and start under traffic
# time: 600

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
mac=02:00:00:00:00:10

install_driver
in_guide testpmd kernel
open_testpmd device "$(guide_block testpmd testpmd)"
netdev=guest0
step "10 pings, as in the guide"
wait_for 20 in_netns test -e /sys/class/net/guest0
in_guide testpmd ping | tee ping.txt
grep -q ' 10 received, 0% packet loss' ping.txt || fail "pings were lost"

carrier() {
    in_netns ethtool "$netdev" | grep -q "Link detected: $1"
}
pings() { # WHEN
    wait_for 10 carrier yes
    in_netns ping -c 10 -i 0.05 -W 5 -q "$tap_ip" | grep -q ' 10 received, 0% packet loss' || fail "pings were lost $1"
}
is_netdev() { # LINK's words
    in_netns ip -d link show dev "$netdev" | grep -qE "$1" || fail "the netdev has no $1"
}

step "what each command says"
answers device "show port info 0" "^MAC address: $mac" '^Device name: net_vduse0' '^Driver name: net_vduse' \
    '^Firmware-version: .*API' '^Link status: up' '^Link speed: 10 Gbps' '^Link duplex: full-duplex' '^MTU: 1500' \
    '^Promiscuous mode: enabled' '^Current number of RX queues: 2' '^Current number of TX queues: 2' \
    '^Max possible RX queues: [1-9]' '^Min possible number of RXDs'
answers device "show port summary 0" "$mac net_vduse0 +net_vduse +up +10 Gbps"
answers device "show device info net_vduse0" 'net_vduse0' 'vdev'
answers device "show port stats 0" 'RX-packets: [1-9]' 'TX-packets: [1-9]' 'RX-errors: 0' 'RX-nombuf: +0'
answers device "show port xstats 0" '^rx_good_packets: [1-9]' '^rx_q0_packets: [0-9]' '^tx_q1_packets: [0-9]' \
    '_dropped: 0' '_errors: 0' 'malformed_errors: 0' 'no_room_dropped: 0'
answers device "clear port stats 0" 'cleared'
answers device "show port stats 0" 'RX-packets: 0' 'TX-packets: 0'
answers device "clear port xstats 0" '!rror'
answers device "show port xstats 0" '^rx_good_packets: 0' '^rx_q0_packets: 0'
pings "after the counters were cleared"
answers device "show port stats 0" 'RX-packets: 1[0-9]' 'TX-packets: 1[0-9]'

answers device "set link-down port 0" '!fail'
wait_for 10 carrier no
answers device "show port info 0" '^Link status: down'
answers device "set link-up port 0" '!fail'
pings "after link-up"
answers device "show port info 0" '^Link status: up'

# testpmd's mbufs have room for 2048 bytes. An Ethernet header and two VLAN tags take 22 of them.
answers device "port config mtu 0 9000" 'at MTU 9000 frames have up to 9022 bytes, and mbufs .* room for 2048' 'diag=-22'
answers device "port config mtu 0 2027" 'diag=-22'
answers device "show port info 0" '^MTU: 1500'
answers device "port config mtu 0 2026" '!rror|fail'
answers device "show port info 0" '^MTU: 2026'
in_netns ip link set "$netdev" mtu 2026
in_netns ping -M "do" -s 1998 -c 3 -i 0.1 -W 5 -q "$tap_ip" | grep -q ' 3 received' || fail "no 2026 bytes"
in_netns ip link set "$netdev" mtu 1500
answers device "port config mtu 0 60" '< device min MTU \(68\)'
answers device "port config mtu 0 9703" '> device max MTU \(9702\)'
answers device "show port info 0" '^MTU: 2026'
answers device "port config mtu 0 1500" '!rror|fail'

answers device "mac_addr add 0 02:00:00:00:00:11" '!rror'
answers device "show port 0 macs" '02:00:00:00:00:11' "$mac"
answers device "mac_addr remove 0 02:00:00:00:00:11" '!rror'
answers device "show port 0 macs" '!02:00:00:00:00:11'
answers device "mac_addr set 0 02:00:00:00:00:12" '!rror'
answers device "show port info 0" '^MAC address: 02:00:00:00:00:12'
answers device "mac_addr set 0 $mac" '!rror'

answers device "show rxq info 0 0" 'Number of RXDs: [1-9]' 'Burst mode: [A-Za-z]' 'Mempool: ' '!not supported'
answers device "show txq info 0 1" 'Number of TXDs: [1-9]' 'Burst mode: [A-Za-z]' '!not supported'
answers device "show port 0 rxq 0 desc 0 status" 'Desc status = (AVAILABLE|DONE|UNAVAILABLE)'
answers device "show port 0 txq 0 desc 0 status" 'Desc status = (FULL|DONE|UNAVAILABLE)'
answers device "show port 0 rxq 0 desc used count" 'Used desc count = [0-9]'
answers device "show port 0 ptypes" 'L2 ptypes'
answers device "show port 0 rx_offload capabilities" 'Per Port +:.*VLAN_STRIP.*UDP_CKSUM.*TCP_CKSUM.*TCP_LRO.*VLAN_FILTER'
answers device "show port 0 tx_offload capabilities" 'Per Port +:.*VLAN_INSERT.*TCP_CKSUM.*TCP_TSO'
answers device "show port 0 rx_offload configuration" 'Rx Offloading Configuration'
answers device "show port 0 tx_offload configuration" 'Tx Offloading Configuration'
answers device "show port 0 flow_ctrl" 'Failed to get .* err = -95'
# RSS is not supported: commands for it must report an error.
answers device "show port 0 rss-hash" 'valid hash key size'
answers device "set promisc 0 off" '!rror'
answers device "set allmulti 0 on" '!rror'
answers device "show port info 0" '^Promiscuous mode: disabled' '^Allmulticast mode: enabled'
answers device "set promisc 0 on" '!rror'
answers device "dump_log_types" 'pmd\.net\.vduse'

step "a secondary process sees the counters"
proc_info() { # OPTION PATTERN...
    local pattern
    timeout 100 dpdk-proc-info --no-pci -- "$1" > proc-info.txt 2>&1 || fail "dpdk-proc-info: $(tail -3 proc-info.txt)"
    for pattern in "${@:2}"; do
        grep -qE "$pattern" proc-info.txt || fail "dpdk-proc-info $1 has no '$pattern'"
    done
}
proc_info --stats 'RX-packets: +[1-9]' 'TX-packets: +[1-9]'
proc_info --xstats '^rx_good_packets: [1-9]' '^tx_pair1_no_room_dropped: 0'
pings "beside a secondary process"

step "VLANs"
in_netns ip link add link "$netdev" name v5 type vlan id 5
in_netns ip addr add 10.9.8.1/24 dev v5
in_netns ip link set v5 up
vlan_pings() {
    in_netns ping -c 3 -i 0.1 -W 2 -q 10.9.8.2
}
vlan_pings | grep -q ' 3 received' || fail "no pings in a VLAN"
answers device "vlan set filter on 0" '!rror|fail'
answers device "show port info 0" 'filter on'
! vlan_pings | grep -q ' [1-9] received' || fail "the VLAN filter lets VLAN 5 through"
answers device "rx_vlan add 5 0" '!rror|fail'
vlan_pings | grep -q ' 3 received' || fail "the VLAN filter stops VLAN 5"
answers device "rx_vlan rm 5 0" '!rror|fail'
answers device "vlan set filter off 0" '!rror|fail'
answers device "vlan set strip on 0" '!rror|fail'
answers device "show port info 0" 'strip on, filter off'
answers device "vlan set strip off 0" '!rror|fail'
vlan_pings | grep -q ' 3 received' || fail "no pings in a VLAN any more"
in_netns ip link del v5

step "what is only answered while nothing is forwarded"
answers device "stop"
answers device "port cleanup 0 txq 0 0" '!not supported|invalid|stop'
for queue in "rxq 0" "rxq 1" "txq 0" "txq 1"; do
    answers device "port 0 $queue stop" '!not supported|fail'
    answers device "port 0 $queue start" '!not supported|fail'
done
answers device "port stop 0" '^Done'
answers device "tso show 0" 'TSO for non-tunneled packets is disabled'
answers device "port reset 0" 'Failed to reset port 0. diag=-95'
answers device "port config 0 tx_offload sctp_cksum on"
answers device "port start 0" "doesn't match Tx offloads capabilities" 'Fail to configure port 0'
answers device "port config 0 tx_offload sctp_cksum off"
answers device "port start 0" '^Done'
answers device "start"
pings "after queues and the port were stopped and started"

step "frames longer than an mbuf come in chains to who asked for them"
answers device "stop"
answers device "port stop 0" '^Done'
answers device "port config mtu 0 9000" '!rror|fail'
answers device "port start 0" 'room for 2048: use larger mbufs, the rx offload scatter' 'Fail to start port 0'
answers device "port config 0 rx_offload scatter on" '!rror|fail'
answers device "port start 0" '^Done'
answers device "start"
wait_for 10 carrier yes
in_netns ip link set "$netdev" mtu 9000
for bytes in 2020 8972; do
    in_netns ping -M "do" -s "$bytes" -c 3 -i 0.1 -W 5 -q "$tap_ip" | grep -q ' 3 received' || fail "no pings of $bytes bytes"
done
in_netns ip link set "$netdev" mtu 1500
answers device "stop"
answers device "port stop 0" '^Done'
answers device "port config 0 rx_offload scatter off" '!rror|fail'
answers device "port config mtu 0 1500" '!rror|fail'
answers device "port start 0" '^Done'
answers device "start"
pings "with an MTU of 1500 again"

step "a mode that sends everything back with the port's own address"
answers device "stop"
answers device "set eth-peer 0 $(in_netns cat "/sys/class/net/$netdev/address")"
answers device "set fwd mac" 'Set mac packet forwarding mode'
answers device "start"
in_netns python3 -B /src/test/vm/lab/bounced.py "$netdev" "$mac" 200 || fail "frames did not come back"
answers device "stop"
answers device "set fwd icmpecho" 'Set icmpecho packet forwarding mode'
answers device "start"

step "stop and start while pings come"
index=$(in_netns cat "/sys/class/net/$netdev/ifindex")
in_netns ping -i 0.01 -q "$tap_ip" > flood.txt &
flood=$!
for _ in $(seq "$(times 2 3)"); do
    guide_block testpmd stop > commands
    while read -r command; do
        answers device "$command" '!rror|fail'
        [ "$command" != "port stop 0" ] || wait_for 10 carrier no
    done < commands
    wait_for 10 carrier yes
    pings "after a start"
done
pkill -INT -x ping # the job is a shell around it, which heeds no SIGINT
wait "$flood" || true
tail -2 flood.txt
[ "$(in_netns cat "/sys/class/net/$netdev/ifindex")" = "$index" ] || fail "it is another netdev"
answers device "show port xstats 0" '!_errors: [1-9]'

step "a second port comes and goes"
answers device "stop"
for _ in $(seq "$(times 3 10)"); do
    guide_block testpmd attach > commands
    while read -r command; do
        answers device "$command" '!rror|fail'
        case $command in
        "port attach"*)
            grep -q 'Port 1 is attached' <<< "$answer" || fail "not attached: $answer"
            wait_for 20 netdev_of vd1
            ;;
        esac
    done < commands
    ! netdev_of vd1 || fail "the netdev of a detached port is still there"
    [ ! -e /dev/vduse/vd1 ] || fail "/dev/vduse/vd1 is still there"
done
answers device "port attach net_vduse1,iface=vd1,colour=red" 'colour' 'iface'
[ ! -e /dev/vduse/vd1 ] || fail "a device was made in spite of a wrong key"
answers device "start"
pings "after another port came and went"

answers device "stop"
close_testpmd device
! in_netns test -e "/sys/class/net/$netdev" || fail "the netdev stays"
[ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 is still there"
