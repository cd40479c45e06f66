#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The kernel's own selftests of network drivers, unchanged, on two netdevs that are patched together
# time: 600
# long: 1500
# needs: ipv6
# needs: lab=kselftest
#
#   nd0, 10.9.9.1 fd00:9::1 ── vd0 ── vduse-dp ── vd1 ── nd1, 10.9.9.3 fd00:9::3, netns remote
#
# The tests are those of the running kernel's source. They run in the Debian 13 root and are not
# adapted to VDUSE. Each test prints how many cases passed and how many were skipped for a missing
# requirement. The lines below state the expected numbers, so a newly skipped case fails the
# scenario. vd0 has profile=full, vd1 has not. With `-e ONLY=PATTERN` only the tests whose path
# matches are run.

tests=/kselftest/tools/testing/selftests
v4=10.9.9.1 v6=fd00:9::1 remote_v4=10.9.9.3 remote_v6=fd00:9::3

step "unpacking"
tar -xf /lab/kselftest/files.tar --keep-directory-symlink --no-same-owner -C /debian13
# The user that the tcpdump package would create: tcpdump switches to it.
echo 'tcpdump:x:994:994::/nonexistent:/usr/sbin/nologin' >> /debian13/etc/passwd
echo 'tcpdump:x:994:' >> /debian13/etc/group
# Replaces github.com/troglobit/mtools, which Debian does not package: mreceive -g GROUP -I NETDEV
# joins a group until it is killed, and msend sends a datagram to the group.
cat > /debian13/usr/local/bin/mreceive << 'END'
#!/bin/sh
case $2 in
*:*) version=6 group=[$2] join=ipv6-join-group ;;
*) version=4 group=$2 join=ip-add-membership ;;
esac
case $0,$1 in
*,-v) echo 'msend version 3.0' ;;
*mreceive,*) exec socat -u "UDP$version-RECV:0,$join=$group:$4" OPEN:/dev/null ;;
*) echo hello | exec socat -u STDIN "UDP$version-DATAGRAM:$group:4321,so-bindtodevice=$4" ;;
esac
END
chmod 755 /debian13/usr/local/bin/mreceive
ln -s mreceive /debian13/usr/local/bin/msend
mount -t bpf bpf /debian13/sys/fs/bpf
mount -t cgroup2 none /debian13/sys/fs/cgroup
sysctl -q -w net.ipv6.conf.{default,all}.accept_dad=0

step "the pair"
use_bus virtio
start_app -- --patch vd0:vd1 --device vd0,attach=virtio,mtu=9000,queues=2,profile=full --device vd1,attach=virtio,mtu=9000,queues=2
wait_for 30 netdev_of vd0
wait_for 30 netdev_of vd1
in_remote() { debian13 ip netns exec remote "$@"; }
debian13 ip link set "$(netdev_of vd0)" name nd0
debian13 ip link set "$(netdev_of vd1)" name nd1
debian13 ip netns add remote
in_remote ip link set lo up

# Restores the state that each test expects.
restore_pair() {
    debian13 ip link set nd1 netns remote 2> /dev/null || true
    debian13 ip link set nd0 xdp off
    debian13 ip link set nd0 xdpgeneric off
    debian13 ip addr replace "$v4/24" dev nd0
    debian13 ip addr replace "$v6/64" dev nd0 nodad
    debian13 ip link set nd0 mtu 1500 up
    in_remote ip addr replace "$remote_v4/24" dev nd1
    in_remote ip addr replace "$remote_v6/64" dev nd1 nodad
    in_remote ip link set nd1 mtu 1500 up
    debian13 ethtool -L nd0 combined 2 2> /dev/null || true
    in_remote ethtool -L nd1 combined 2 2> /dev/null || true
}
healthy() {
    debian13 ping -c 3 -i 0.2 -W 2 -q "$remote_v4" && debian13 ping -6 -c 3 -i 0.2 -W 2 -q "$remote_v6"
}

wanted() {
    [[ $1 =~ ${ONLY:-.} ]]
}

slow=''
! grep -q 'QEMU TCG' /proc/cpuinfo || slow=yes # tests forgive then what only takes too long

# execute TEST COMMAND...: runs a test. Its output is in the file `tap` in /out. Afterwards the pair
# must work, and the kernel must have logged no problem.
execute() {
    local test=$1
    shift
    tap=/out/$(tr -c 'a-z0-9\n' _ <<< "${test#*net/} ${subset:-} ${*:4}").tap
    dmesg -C
    begin=$SECONDS
    # The other CPU is the application's, which polls.
    chroot /debian13 env -i -C "$tests/$(dirname "$test")" PATH="$PATH" HOME=/root TERM=dumb NETIF=nd0 NETIF_CREATE=no \
        REMOTE_TYPE=netns REMOTE_ARGS=remote LOCAL_V4="$v4" LOCAL_V6="$v6" REMOTE_V4="$remote_v4" REMOTE_V6="$remote_v6" \
        SUDO_USER=root ${slow:+KSFT_MACHINE_SLOW=yes} ${subset:+TESTS="$subset"} \
        timeout -k 5 "${limit:-300}" taskset -c 0 "$@" > "$tap" 2>&1 || true
    took=$((SECONDS - begin))
    restore_pair
    dmesg > /out/dmesg.txt
    ! grep -iE 'warn|bug:|call trace|oops|hung|timed? ?out|watchdog' /out/dmesg.txt || fail "$test: the kernel complains"
    wait_for 10 healthy
}

# totals PASS [SKIP [XFAIL]]: prints the totals in the format of the tests in Python.
totals() {
    echo "pass:$1 fail:0 xfail:${3:-0} xpass:0 skip:${2:-0} error:0"
}

# passes TEST EXPECTED [ARGUMENT...]: runs a test in Python. EXPECTED is a pattern for its totals.
passes() {
    local test=$1 expected=$2 totals
    shift 2
    wanted "$test" || return 0
    execute "$test" python3 -B "$(basename "$test")" "$@"
    totals=$(sed -n 's/^# Totals: //p' "$tap" | tail -1)
    step "$test $*: ${totals:-no result} ($took s)"
    [[ $totals =~ ^$expected$ ]] ||
        fail "$test $*: $expected expected, got ${totals:-nothing}: $(grep -m 5 -E '^not ok|SKIP|Error' "$tap")"
}

# forwards TEST PASSES: runs a test in shell, which needs both netdevs in this namespace. It must
# print PASSES results, all OK.
forwards() {
    local test=$1 totals
    wanted "$test" || return 0
    debian13 ip -n remote link set nd1 netns 1
    debian13 ip addr flush dev nd0
    execute "$test" bash "$(basename "$test")" nd0 nd1
    totals=$(awk '/\[ OK \]/ { ok++ } /\[FAIL\]/ { fail++ } /\[XFAIL\]/ { xfail++ } /\[SKIP\]|^SKIP/ { skip++ }
        END { printf "ok:%d fail:%d xfail:%d skip:%d", ok, fail, xfail, skip }' "$tap")
    step "$test ${subset:-}: $totals ($took s)"
    [ "$totals" = "ok:$2 fail:0 xfail:0 skip:0" ] ||
        fail "$test ${subset:-}: ok:$2 expected, got $totals: $(grep -m 5 -E 'FAIL|SKIP' "$tap")"
}

restore_pair
wait_for 20 healthy

# This test does not count frames whose checksum is left to the receiver. So for the cases in which
# nd0 sends, nd1 must not get such frames: with an XDP program, virtio_net switches GUEST_CSUM off.
# The test then verifies checksums that vduse-dp computed.
csum=drivers/net/hw/csum.py
if wanted "$csum"; then
    in_remote ip link set nd1 xdp obj "$tests/net/lib/xdp_dummy.bpf.o" sec xdp
    telemetry /vduse/info,vd1 '"GUEST_CSUM" in a["offloads_off"]'
    before=$(told /vduse/stats,vd1 'a["to_guest"]["csum_done"]')
    passes "$csum" "$(totals 12)"
    sums=$(($(told /vduse/stats,vd1 'a["to_guest"]["csum_done"]') - before))
    [ "$sums" -ge 400 ] || fail "$sums sums were computed, in 4 cases of 100 frames"
    in_remote ip link set nd1 xdp off
fi

# This test asks the device how many frames on the wire came from TSO.
passes drivers/net/hw/tso.py "$(totals 2)" -t ipv4 -t ipv6
passes drivers/net/napi_id.py "$(totals 1)"
passes drivers/net/queues.py "$(totals 4)"
passes drivers/net/stats.py "$(totals 5 3)" # PAUSE and FEC are on no virtio_net
forwards net/forwarding/min_max_mtu.sh 6
subset=standalone forwards net/forwarding/local_termination.sh 24

if [ -n "${LONG:-}" ]; then
    subset=test_vlan forwards net/forwarding/local_termination.sh 24
    passes drivers/net/ring_reconfig.py "$(totals '[23]' 0 '[01]')" # whether a backlog is to be seen depends on the machine
    # virtio_net cannot offload XDP programs to the NIC.
    passes drivers/net/ping.py "$(totals 5 1)" -T test_xdp_native_mb
    # virtio_net drops a frame if more than 3.5 KiB of it are in a buffer that was in the ring
    # before the XDP program was attached (mergeable_xdp_get_buf). The earlier cases leave such
    # buffers in the ring. Small frames use them up; without these frames the driver counts seven
    # rx_drops here.
    debian13 ping -f -q -c 1200 "$remote_v4"
    passes drivers/net/ping.py "$(totals 1)" -t test_xdp_native_mb
    modprobe pppoe # has its part of GRO
    passes drivers/net/gro.py "$(totals 111)" -t 'test.sw_*'
    # With two queues the test changes their number while a program is attached, which virtio_net
    # refuses.
    debian13 ethtool -L nd0 combined 1
    limit=420 passes drivers/net/xdp.py "$(totals 27)"
fi
no_complaints 'find no receive buffers' # IPv6 speaks before the other netdev is up
stop_app
