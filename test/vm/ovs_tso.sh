#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Open vSwitch 3.1 with userspace-tso-enable: TCP among two netdevs and a tap, with large frames to and from the netdevs
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

# xstat VD NAME
xstat() {
    port_xstat "$(ovs get interface "$1" status:port_no | tr -d '"')" "$2"
}

# counted VD NAME: prints the counter; fails unless it is greater than 10.
counted() {
    local count
    count=$(xstat "$1" "$2")
    echo "$1 $2: $count"
    [ "$count" -gt 10 ] || fail "$1 has $2: $count"
}

# add_ports BLOCK: adds the guide's ports and sets their addresses.
add_ports() {
    in_guide ovs "$1"
    wait_for 20 in_netns test -e /sys/class/net/guest0
    wait_for 20 in_other test -e /sys/class/net/other0
    ip addr flush dev dtap0
    in_guide ovs addresses > ping.txt
}

remove_ports() {
    ovs del-port br0 vd0 -- del-port br0 vd1
    wait_for 20 test ! -e /dev/vduse/vd0
    wait_for 20 test ! -e /dev/vduse/vd1
}

# copy_files: copies a file both ways between the tap and a netdev, and both ways between the
# netdevs.
copy_files() {
    copy_file '' in_netns "$driver_ip"
    copy_file in_netns '' "$tap_ip"
    copy_file in_netns in_other "$other_ip"
    copy_file in_other in_netns "$driver_ip"
}

step "OVS starts with userspace TSO"
start_ovs
in_guide ovs tso
grep -q 'Userspace TCP Segmentation Offloading support enabled' "$ovs_log" || fail "OVS does not do it: $(tail -3 "$ovs_log")"
in_guide ovs bridge
add_ports ports
mark_ovs
dd if=/dev/urandom of=/tmp/file bs=1M count=2 status=none
copy_files
counted vd0 tx_pair0_large
counted vd0 rx_segmented
driver_is_content

step "a netdev that takes no large frames, and one that sends none"
in_netns ethtool -K guest0 rx-gro-hw off
in_other ethtool -K other0 tso off tx off
copy_file '' in_netns "$driver_ip"
copy_file in_other in_netns "$driver_ip"
counted vd0 tx_pair0_cut

step "ports whose large frames OVS gets as they are"
remove_ports
mark_ovs
add_ports tso-ports
copy_files
for vd in vd0 vd1; do
    counted "$vd" rx_pair0_large
    counted "$vd" tx_pair0_large
    [ "$(xstat "$vd" rx_segmented)" = 0 ] || fail "frames from $vd were cut before OVS saw them"
done
driver_is_content

# The tap is recreated too: it outlives OVS and, with 3.1, keeps the offloads that OVS set on it.
step "the same without userspace TSO"
remove_ports
ovs set Open_vSwitch . other_config:userspace-tso-enable=false
"${host[@]}" systemctl restart openvswitch-switch
ovs del-port br0 dtap0
mark_ovs
ovs add-port br0 dtap0 -- set interface dtap0 type=tap
add_ports ports
copy_files
[ "$(xstat vd0 tx_pair0_large)" = 0 ] || fail "OVS sends large frames"
counted vd0 rx_segmented
driver_is_content

remove_ports
"${host[@]}" systemctl stop openvswitch-switch
