#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A Linux guest in QEMU, a port of Open vSwitch 3.1 with two queue pairs, and a tap: pings, TCP, changed numbers of pairs
# time: 600

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
# shellcheck source=test/vm/lab/ovs.sh
source /src/test/vm/lab/ovs.sh

step "OVS starts, and gets its port, as in the guide"
start_ovs
in_guide ovs qemu-port
wait_for 20 test -e /dev/vhost-vdpa-0
shows vd0 error '^\[\]'
shows vd0 link_state '^down'

# Prints the options in the guide that differ from those of other guests here.
of_guide() {
    guide_block ovs qemu | grep -oP "$1,\\K\\S+" || fail "the guide's options for QEMU have no $1"
}
step "a guest in $("${qemu[@]}" --version | head -1)"
start_guest "$(of_guide vhostdev=/dev/vhost-vdpa-0)" "$(of_guide netdev=n0)"
guest_up
shows vd0 link_state '^up'
guest_pings 10

step "a file both ways"
dd if=/dev/urandom of=/tmp/file bs=1M count=4 status=none
serve_file 5000 /tmp/file
guest "nc $tap_ip 5000 > /tmp/file"
take_file 5001 /tmp/back
guest "nc $tap_ip 5001 -e cat /tmp/file" # nc itself would write a kilobyte at a time
wait "$server_pid"
same_file /tmp/file /tmp/back

step "other numbers of queue pairs, and of OVS's queues"
for pairs in 1 2; do
    guest "ethtool -L eth0 combined $pairs"
    guest_pings
    ovs set interface vd0 options:n_rxq="$pairs"
    guest_pings
done
shows vd0 statistics:rx_packets '^[1-9]'
ovs get interface vd0 statistics > counters.txt

guest_poweroff
shows vd0 link_state '^down'
ovs del-port br0 vd0
wait_for 20 test ! -e /dev/vduse/vd0
systemctl stop openvswitch-switch
