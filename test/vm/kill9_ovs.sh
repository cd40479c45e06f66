#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kill -9 of testpmd and of ovs-vswitchd under full traffic between two netdevs: a pause, and few frames are lost
# time: 700
#
#   netns guest ── vd0 ── testpmd or br0 ── vd1 ── netns other

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
# shellcheck source=test/vm/lab/ovs.sh
source /src/test/vm/lab/ovs.sh
ip netns add guest
ip netns add other
indices() {
    in_netns cat /sys/class/net/guest0/{ifindex,carrier_changes}
    ip netns exec other cat /sys/class/net/other0/{ifindex,carrier_changes}
}
netdevs_up() {
    for place in "guest guest0" "other other0"; do
        # shellcheck disable=SC2086  # two words
        set -- $place
        wait_for 30 ip netns exec "$1" test -e "/sys/class/net/$2"
        # The default, fq_codel, would drop frames that waited long while no process served the
        # device.
        tc -n "$1" qdisc replace dev "$2" root pfifo limit 1000
        ip -n "$1" link set "$2" up
        wait_for 20 ip netns exec "$1" grep -q 1 "/sys/class/net/$2/carrier"
    done
    indices > before
}
unnoticed() {
    indices > after
    diff before after || fail "the netdevs have changed"
    dmesg --notime > kernel.log
    # The kernel also reports queues that waited for more than 5 s. That is expected here.
    ! grep -E 'is not a head|BUG:|Oops|Call Trace|hung' kernel.log || fail "the kernel complains"
    dmesg --clear
}

step "testpmd"
install_driver
modprobe -a virtio_net virtio_vdpa
dmesg --clear
port() { # NUMBER NETDEV NETNS
    echo "--vdev net_vduse$1,iface=tp$1,mac=02:00:00:00:00:1$1,attach=virtio,netdev=$2,netns=$3"
}
cat > /tmp/testpmd-again << END
#!/bin/bash -e
[ ! -e /tmp/testpmd.pid ] || kill -KILL \$(cat /tmp/testpmd.pid)
while [ -e /tmp/testpmd.pid ] && [ -e /proc/\$(cat /tmp/testpmd.pid) ]; do sleep 0.05; done
dpdk-testpmd -l 0-1 --no-pci --in-memory --no-telemetry --iova-mode=va -m 64 $(port 0 guest0 guest) $(port 1 other0 other) \
    -- --total-num-mbufs=4096 --forward-mode=io --auto-start --no-flush-rx --stats-period=3600 < /dev/null >> /tmp/testpmd.log 2>&1 &
echo \$! > /tmp/testpmd.pid
END
chmod +x /tmp/testpmd-again
logs+=(/tmp/testpmd.log)
/tmp/testpmd-again
netdevs_up
# One core forwards, and holds one burst.
in_python netdev.kill9_ports "$(times 3 6)" 32 256 guest0@guest other0@other -- /tmp/testpmd-again
unnoticed
! grep -E 'VDUSE.*(rror|cannot)|Fail' /tmp/testpmd.log || fail "testpmd complains"
kill -TERM "$(cat /tmp/testpmd.pid)"
wait_for 30 test ! -e "/proc/$(cat /tmp/testpmd.pid)"
[ ! -e /dev/vduse/tp0 ] || for name in tp0 tp1; do vdpa dev del "$name"; done

step "Open vSwitch"
start_ovs
ip netns del guest # the guide makes them
ip netns del other
in_guide ovs bridge
in_guide ovs ports
netdevs_up
# systemd restarts a service once its process is gone. Earlier, Open vSwitch's script would save the flows of a process
# that no longer answers, and restore none.
cat > /tmp/ovs-again << 'END'
#!/bin/bash -e
pid=$(cat /run/openvswitch/ovs-vswitchd.pid)
kill -KILL "$pid"
while [ -e "/proc/$pid" ]; do sleep 0.05; done
systemctl restart openvswitch-switch > /tmp/ovs-restart.log 2>&1
END
chmod +x /tmp/ovs-again
# The ports come back one after the other. Frames of the first port are lost until the second one
# exists.
in_python netdev.kill9_ports 2 $((2 * 128)) 64 guest0@guest other0@other -- /tmp/ovs-again
shows vd0 mac_in_use '^"02:00:00:00:00:10"'
unnoticed
ovs del-port br0 vd0 -- del-port br0 vd1
systemctl stop openvswitch-switch
