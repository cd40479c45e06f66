#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Open vSwitch 3.1's own system tests with net_vduse ports: MTU, VLAN, bond, tunnel, fragments; --long: 64, and 13 with TSO
# needs: lab=ovs-suite
# needs: ipv6
# time: 300
# long: 3600

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
install_driver
tar -C / --keep-directory-symlink -xf /lab/ovs-suite/root.tar
tar -C / -xf /lab/ovs-suite/suite.tar
update-alternatives --set ovs-vswitchd /usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
echo 512 > /proc/sys/vm/nr_hugepages
modprobe -a vduse virtio_vdpa virtio_net
dmesg --clear

# The suite is made from lab/ovs_suite.at. `devtools/vm -e CASES='26 27' ovs_suite` runs only these
# cases. Cases that are not in `many`: 75, 150 and 164 need a kernel netdev at Open vSwitch's end of
# a port (tc, tcpdump); 66 also fails with Open vSwitch's own veth ports if the VM is emulated; the
# others have not been tried.
#
# cases NAME NUMBER...: runs these cases. Each must print ok: a case that fails, is skipped or does
# not exist fails the scenario. VDUSE_KEYS, OVS_CONFIG and OVS_MEMORY are for lab/ovs_suite.at.
# Autotest runs the cases in ascending order.
cases() {
    local name=$1 number bad=''
    shift
    step "$name: $# cases"
    (cd /ovs-suite/tests && sh ./testsuite "$@" < /dev/null) | tee "$name.txt" || true
    for number in "$@"; do
        grep -qE "^ *$number: .* ok *$" "$name.txt" && continue
        bad+=" $number"
        cp "/ovs-suite/tests/testsuite.dir/$(printf %03d "$number")/testsuite.log" "$name-$number.log" || true
    done
    [ -z "$bad" ] || fail "$name: not ok:$bad"
    [ "$(ls /dev/vduse)" = control ] || fail "$name: devices stay: $(ls /dev/vduse)"
    dmesg --notime > kernel.log
    ! grep -E 'BUG:|Oops|Call Trace|hung' kernel.log || fail "the kernel complains"
}

export VDUSE_KEYS='' OVS_CONFIG='' OVS_MEMORY=64
# Case with a single port: a larger MTU. Cases with traffic: ping, IPv6 with VLAN, an LACP bond,
# VXLAN over IPv6, truncated frames, fragments.
few="14 26 31 35 38 64 102"
many="2 6 10 14 15 18 19 26 27 28 30 31 33 34 35 36 37 38 39 40 41 45 46 47 48 50 55 56 57 58 59 62 64 65 69 73 78 79 81 82
    83 88 93 97 99 101 102 103 104 108 109 111 113 124 129 133 135 140 142 143 145 147 160 162"
# shellcheck disable=SC2086,SC2046  # words
cases plain ${CASES:-$(times "$few" "$many")}

# Cases that Open vSwitch's own system-tso-testsuite does not skip for TSO: pings, HTTP, an LACP
# bond, and conntrack with HTTP and NAT. The cases with a single port would fail because of a
# warning about SCTP.
if [ -n "${LONG:-}" ]; then
    VDUSE_KEYS=,tso=1,ext-buffer=1,legacy-ol-flags=1 OVS_CONFIG=other_config:userspace-tso-enable=true OVS_MEMORY=256
    # shellcheck disable=SC2086  # words
    cases tso ${TSO_CASES:-26 27 28 31 35 64 79 81 102 129 140 147 162}
fi
