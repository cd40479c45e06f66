#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# testpmd forwards TCP between two netdevs: io mode without offloads, and csum mode with checksum offload and TSO
# time: 500
#
#   netns guest, 10.9.9.1 ── vd0 ── testpmd ── vd1 ── netns other, 10.9.9.3

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
other_ip=10.9.9.3
mac0=02:00:00:00:00:10 mac1=02:00:00:00:00:11

install_driver
in_guide testpmd kernel
ip netns add other

# open_ports KEYS...: starts testpmd between the netdevs, with these keys for both ports.
open_ports() {
    # The csum engine sets the destination address to that of the port's peer.
    open_testpmd device "${host[*]} dpdk-testpmd -l 0-1 --no-pci --in-memory \
        --vdev net_vduse0,iface=vd0,mac=$mac0,attach=virtio,netdev=guest0,netns=guest$1 \
        --vdev net_vduse1,iface=vd1,mac=$mac1,attach=virtio,netdev=other0,netns=other$1 \
        -- -i --total-num-mbufs=8192 --forward-mode=io --auto-start --eth-peer=0,$mac0 --eth-peer=1,$mac1"
    for side in "guest $driver_ip" "other $other_ip"; do
        read -r netns address <<< "$side"
        wait_for 20 ip netns exec "$netns" test -e "/sys/class/net/${netns}0"
        ip -n "$netns" addr add "$address/24" dev "${netns}0"
        ip -n "$netns" link set "${netns}0" up
    done
}
close_ports() {
    answers device "stop"
    close_testpmd device
    wait_for 20 test ! -e /dev/vduse/vd0
    wait_for 20 test ! -e /dev/vduse/vd1
}
# use_csum OFFLOAD...: selects the csum engine with these offloads; the port does checksums and TSO.
use_csum() {
    local port offload sum
    answers device "stop"
    answers device "port stop all" '^Done'
    for port in 0 1; do
        for offload in "$@"; do
            answers device "port config $port $offload on" '!rror|fail'
        done
        for sum in ip tcp udp; do
            answers device "csum set $sum hw $port" '!rror|fail|not supported'
        done
        answers device "tso set 1448 $port" 'segment size for non-tunneled packets is 1448' '!rror|fail|not supported'
    done
    answers device "port start all" '^Done'
    answers device "set fwd csum" 'Set csum packet forwarding mode'
    answers device "start"
}
reaches() {
    wait_for 20 in_netns ping -c 1 -W 1 "$other_ip"
}
# many NAME: fails unless this extended statistic has counted something on both ports.
many() {
    local port count
    for port in 0 1; do
        count=$(port_xstat "$port" "$1")
        [ "$count" -gt 10 ] || fail "port $port has $1: $count"
    done
}
dd if=/dev/urandom of=/tmp/file bs=1M count=2 status=none

step "io, which was asked for nothing, gets frames that are whole"
open_ports ''
reaches
copy_file in_netns in_other "$other_ip"
copy_file in_other in_netns "$driver_ip"
many rx_segmented
for port in 0 1; do
    [ "$(port_xstat "$port" tx_pair0_large)" = 0 ] || fail "io sent large frames"
done

step "csum, with what the port can do"
use_csum "rx_offload tcp_lro" "rx_offload scatter" "tx_offload multi_segs"
reaches
copy_file in_netns in_other "$other_ip"
copy_file in_other in_netns "$driver_ip"
many tx_pair0_large

step "a receiver that takes no large frames"
in_other ethtool -K other0 rx-gro-hw off
before=$(port_xstat 1 tx_pair0_cut)
copy_file in_netns in_other "$other_ip"
[ "$(($(port_xstat 1 tx_pair0_cut) - before))" -gt 10 ] || fail "large frames were not cut for it"
answers device "show port xstats 0" '!_errors: [1-9]'
answers device "show port xstats 1" '!_errors: [1-9]'
close_ports

# testpmd prints the length and the number of mbufs of each received frame. An mbuf of its pool
# holds 2 KiB.
step "csum with ext-buffer=1,tso=1: a large frame comes in one buffer"
open_ports ,ext-buffer=1,tso=1
use_csum
answers device "set verbose 1"
reaches
copy_file in_netns in_other "$other_ip"
copy_file in_other in_netns "$driver_ip"
answers device "set verbose 0"
many rx_pair0_large
many tx_pair0_large
segments=$(grep -aoE 'length=[0-9]+ - nb_segs=[0-9]+' /tmp/testpmd-device.log | awk -F '[= ]' '$2 > 2048 { print $NF }' | sort | uniq -c)
[[ $segments =~ ^\ *([0-9]+)\ 1$ && ${BASH_REMATCH[1]} -gt 20 ]] || fail "long frames by their number of mbufs: $segments"
close_ports
