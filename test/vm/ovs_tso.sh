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

# xstat VD NAME
xstat() {
    port_xstat "$(ovs get interface "$1" status:port_no | tr -d '"')" "$2"
}

dd if=/dev/urandom of=/tmp/file bs=1M count=2 status=none
copy_file '' in_netns "$driver_ip"
large=$(xstat vd0 tx_pair0_large)
[ "$large" -gt 10 ] || fail "$large large frames went to vd0"
copy_file in_netns '' "$tap_ip"
copy_file in_netns in_other "$other_ip"
copy_file in_other in_netns "$driver_ip"
cut=$(xstat vd0 rx_segmented)
[ "$cut" -gt 10 ] || fail "$cut large frames came from vd0"
driver_is_content

step "a netdev that takes no large frames, and one that sends none"
in_netns ethtool -K guest0 rx-gro-hw off
in_other ethtool -K other0 tso off tx off
copy_file '' in_netns "$driver_ip"
copy_file in_other in_netns "$driver_ip"
[ "$(xstat vd0 tx_pair0_cut)" -gt 10 ] || fail "large frames were not cut for vd0"

ovs del-port br0 vd0
ovs del-port br0 vd1
systemctl stop openvswitch-switch
