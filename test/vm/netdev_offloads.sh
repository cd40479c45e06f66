#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Checksum offload and TSO between two netdevs of the kernel: all on, each one off and on, and with XDP
# time: 900
# needs: build=app
# needs: ipv6
#
#   netns guest, 10.9.9.1 fd09::1 ── vd0 ── vduse-dp ── vd1 ── netns other, 10.9.9.3 fd09::3

other_ip=10.9.9.3

use_bus virtio
start_app -- --patch vd0:vd1 --device vd0,attach=virtio,mtu=9000 --device vd1,attach=virtio,mtu=9000
driver_to_netns vd1 other "$other_ip"
other=$netdev
driver_to_netns vd0
ip -n guest addr add fd09::1/64 dev "$netdev" nodad
ip -n other addr add fd09::3/64 dev "$other" nodad
set_mtu() {
    ip -n guest link set "$netdev" mtu "$1"
    ip -n other link set "$other" mtu "$1"
}

# count DEVICE DIRECTION NAME
count() {
    told "/vduse/stats,$1" "a['$2']['$3']"
}

# more DEVICE DIRECTION NAME COMMAND...: by how much COMMAND increases the counter.
more() {
    local what=("${@:1:3}") before
    before=$(count "${what[@]}")
    "${@:4}"
    more=$(($(count "${what[@]}") - before))
}

dd if=/dev/urandom of=/tmp/file bs=1M count=1 status=none
sum=$(sha256sum < /tmp/file | cut -d' ' -f1)
# A server that answers each megabyte with its checksum. Starting a program for each megabyte would
# take longer than the transfer.
cat > /tmp/summer.py << 'END'
import hashlib, socket
server = socket.create_server(("::", 5000), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    peer, data = server.accept()[0], b""
    while len(data) < 1 << 20:
        part = peer.recv(1 << 20)
        if not part:
            break
        data += part
    peer.send(hashlib.sha256(data).hexdigest().encode() + b"\n")
    peer.close()
END
for netns in guest other; do
    ip netns exec "$netns" python3 /tmp/summer.py &
    listens() { ip netns exec "$netns" ss -Hltn 'sport = :5000' | grep -q .; }
    wait_for 30 listens
done
# copy SENDER IP: sends the file from one netns to the other.
copy() {
    local there
    there=$("$1" timeout 60 bash -c "exec 3<> /dev/tcp/$2/5000 && cat /tmp/file >&3 && head -1 <&3") || fail "no TCP to $2"
    [ "$there" = "$sum" ] || fail "the file is another one at $2"
}
to_other() { copy in_netns "$1"; }
from_other() { copy in_other "$1"; }

step "what the driver took"
in_netns ethtool -k "$netdev" | grep -E 'checksumming|segmentation|offload' > features.txt
for feature in tx-checksumming tcp-segmentation-offload tx-tcp6-segmentation tx-tcp-ecn-segmentation; do
    grep -q "$feature: on" features.txt || fail "$feature is not on: $(cat features.txt)"
done
telemetry /vduse/info,vd0 '{"CSUM", "GUEST_CSUM", "HOST_TSO4", "HOST_TSO6", "HOST_ECN", "GUEST_TSO4", "GUEST_TSO6",
    "GUEST_ECN", "CTRL_GUEST_OFFLOADS"} <= set(a["feature_names"])'

for mtu in 1500 9000; do
    set_mtu "$mtu"
    for ip in "$other_ip" fd09::3; do
        step "TCP to $ip, MTU $mtu: large frames go through as they are"
        more vd0 from_guest large to_other "$ip"
        [ "$more" -gt 10 ] || fail "$more large frames came from vd0"
        [ "$(count vd1 to_guest cut)" = 0 ] || fail "they were cut"
        [ "$(count vd1 to_guest csum_done)" = 0 ] || fail "sums were computed"
    done
done
[ "$(count vd1 to_guest large)" = "$(count vd0 from_guest large)" ] || fail "fewer large frames arrived"

# Datagrams with checksums: the receiver's kernel counts wrong ones.
step "UDP, IPv4 and IPv6, each way"
in_other iperf3 --server --daemon
in_netns iperf3 --server --daemon
in_other_listens() { in_other ss -Hltn 'sport = :5201' | grep -q .; }
wait_for 10 in_other_listens
for ip in "$other_ip" fd09::3; do
    more vd0 from_guest csum in_netns iperf3 --client "$ip" --udp --bandwidth 20M --time 1 --json > udp.json
    [ "$more" -gt 10 ] || fail "$more datagrams left their sum to us"
done
for netns in guest other; do
    errors=$(ip netns exec "$netns" python3 -c 'import sys
rows = [line.split() for line in open("/proc/net/snmp") if line.startswith("Udp:")]
counts = dict(zip(*rows))
v6 = dict(line.split() for line in open("/proc/net/snmp6"))
print(int(counts["InCsumErrors"]) + int(v6["Udp6InCsumErrors"]))')
    [ "$errors" = 0 ] || fail "$errors datagrams came with a wrong sum in $netns"
done

# Each offload off and on. The received data must be right in all combinations.
set_mtu 1500
for tso in on off; do
    for gso in on off; do
        for tx in on off; do
            for gro in on off; do
                step "tso $tso, gso $gso, tx $tx, gro $gro"
                for side in "in_netns $netdev" "in_other $other"; do
                    read -r in name <<< "$side"
                    "$in" ethtool -K "$name" tx "$tx" > /dev/null 2>&1
                    "$in" ethtool -K "$name" tso "$tso" > /dev/null 2>&1 || true # it needs tx on
                    "$in" ethtool -K "$name" gso "$gso" gro "$gro" > /dev/null 2>&1
                done
                to_other "$other_ip"
                from_other "$driver_ip"
            done
        done
    done
done
in_netns ethtool -K "$netdev" tx on tso on gso on gro on > /dev/null
in_other ethtool -K "$other" tx on tso on gso on gro on > /dev/null

step "the receiver takes no large frames: they are cut for it"
in_other ethtool -K "$other" rx-gro-hw off
more vd1 to_guest cut to_other "$other_ip"
[ "$more" -gt 10 ] || fail "$more large frames were cut"
in_other ethtool -K "$other" rx-gro-hw on
more vd1 to_guest large to_other "$other_ip"
[ "$more" -gt 10 ] || fail "$more large frames arrived"

step "in a VLAN"
ip -n guest link add link "$netdev" name v5 type vlan id 5
ip -n other link add link "$other" name v5 type vlan id 5
ip -n guest addr add 10.9.5.1/24 dev v5
ip -n other addr add 10.9.5.3/24 dev v5
ip -n guest link set v5 up
ip -n other link set v5 up
more vd0 from_guest large to_other 10.9.5.3
[ "$more" -gt 10 ] || fail "$more large frames came from vd0"
from_other 10.9.5.1

# An XDP program that passes every frame: virtio_net switches the device's receive offloads off.
step "XDP comes and goes under traffic"
in_netns iperf3 --client "$other_ip" --time 900 > /tmp/traffic.txt &
traffic=$!
for _ in $(seq "$(times 2 30)"); do
    xdp_on other "$other"
    ip -n other -details link show "$other" | grep -q 'prog/xdp' || fail "there is no program"
    before=$(count vd1 to_guest large)
    more vd1 to_guest cut sleep 0.5
    [ "$more" -gt 0 ] || fail "nothing is cut for a netdev with a program"
    [ "$(count vd1 to_guest large)" = "$before" ] || fail "a netdev with a program gets large frames"
    ip -n other link set "$other" xdp off
    more vd1 to_guest large sleep 0.5
    [ "$more" -gt 0 ] || fail "no large frames arrive behind a program"
done
kill "$traffic"
wait "$traffic" || true
to_other "$other_ip"

no_complaints 'find no receive buffers' # IPv6 speaks before the other netdev is up
stop_app
