#!/bin/bash
# Open vSwitch 3.1 with userspace-tso-enable: TCP among two netdevs and a tap, with large frames to the netdevs
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

step "OVS starts with userspace TSO"
start_ovs
ovs set Open_vSwitch . other_config:userspace-tso-enable=true
systemctl stop openvswitch-switch
systemctl start openvswitch-switch
grep -q 'Userspace TCP Segmentation Offloading support enabled' "$ovs_log" || fail "OVS does not do it: $(tail -3 "$ovs_log")"
in_guide ovs bridge
in_guide ovs ports
wait_for 20 in_netns test -e /sys/class/net/guest0
in_guide ovs addresses > ping.txt
mark_ovs
in_other() {
    ip netns exec other "$@"
}

# xstat VD NAME
xstat() {
    local port
    port=$(ovs get interface "$1" status:port_no | tr -d '"')
    told "/ethdev/xstats,$port" "a['$2']"
}

dd if=/dev/urandom of=/tmp/file bs=1M count=2 status=none
# copy SENDER RECEIVER IP: a file, which must arrive as it is. Either is a command, or nothing for the tap's side.
copy() {
    local receiver
    step "TCP from ${1:-the tap} to ${2:-the tap}"
    rm -f /tmp/there
    ${2:+"$2"} python3 -c "import socket
peer = socket.create_server(('', 5000)).accept()[0]
with open('/tmp/there', 'wb') as file:
    while data := peer.recv(65536): file.write(data)" &
    receiver=$!
    waits() { ${1:+"$1"} ss -Hltn 'sport = :5000' | grep -q .; }
    wait_for 20 waits "$2"
    ${1:+"$1"} timeout 60 bash -c "cat /tmp/file > /dev/tcp/$3/5000" || fail "no TCP"
    wait "$receiver" || fail "the receiver failed"
    same_file /tmp/file /tmp/there
}
copy '' in_netns "$driver_ip"
large=$(xstat vd0 tx_pair0_large)
[ "$large" -gt 10 ] || fail "$large large frames went to vd0"
copy in_netns '' "$tap_ip"
copy in_netns in_other "$other_ip"
copy in_other in_netns "$driver_ip"
cut=$(xstat vd0 rx_segmented)
[ "$cut" -gt 10 ] || fail "$cut large frames came from vd0"
driver_is_content

step "a netdev that takes no large frames, and one that sends none"
in_netns ethtool -K guest0 rx-gro-hw off
in_other ethtool -K other0 tso off tx off
copy '' in_netns "$driver_ip"
copy in_other in_netns "$driver_ip"
[ "$(xstat vd0 tx_pair0_cut)" -gt 10 ] || fail "large frames were not cut for vd0"

ovs del-port br0 vd0
ovs del-port br0 vd1
systemctl stop openvswitch-switch
