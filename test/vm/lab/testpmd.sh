#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# testpmd in scenarios: as the driver of a device (net_virtio_user), and as a device (net_vduse,
# net_vhost). As a device, it is controlled by typing commands one by one. Sourced after
# scenario.sh.

testpmd_log=/out/testpmd.log
declare -A testpmd_pids=()

# install_driver: installs net_vduse where EAL looks for PMDs, as doc/guide-testpmd.md describes.
install_driver() {
    in_guide testpmd install
}

# Programs that are linked with PMDs do not start without them.
for root in / /debian13; do
    drivers "$root"
    # shellcheck disable=SC2046  # a list of libraries
    drivers "$root" net_tap net_virtio net_vhost \
        $(chroot "$root" ldd /usr/bin/dpdk-testpmd /usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk 2> /dev/null |
            sed -n 's|.*/librte_\(\w*\)[.]so.*|\1|p' | sort -u)
done

# start_testpmd MBUFS [EAL options]: starts a testpmd that sends a burst through /dev/vhost-vdpa-0
# and keeps forwarding what comes back. Returns when it forwards. Its pid is testpmd_pid. The memory
# that it maps grows with MBUFS.
start_testpmd() {
    local mbufs=$1
    shift
    rm -f /tmp/testpmd.in
    mkfifo /tmp/testpmd.in
    : >> "$testpmd_log"
    testpmd_mark=$(wc -l < "$testpmd_log")
    # Forwarding polls, on the CPU that everything except the application's worker uses.
    stdbuf -oL dpdk-testpmd --lcores 0@0,1@0 --no-pci --in-memory --no-telemetry --iova-mode=va "$@" \
        --vdev net_virtio_user0,path=/dev/vhost-vdpa-0,queue_size=1024 -- \
        --total-num-mbufs="$mbufs" --forward-mode=io --disable-link-check --auto-start --tx-first --burst=64 \
        <> /tmp/testpmd.in >> "$testpmd_log" 2>&1 &
    testpmd_pid=$!
    wait_for 60 testpmd_forwards_or_gone
    ! gone "$testpmd_pid" || fail "testpmd ended: $(tail -3 "$testpmd_log")"
}

testpmd_forwards_or_gone() {
    grep -q '^Press enter to exit' <(tail -n "+$((testpmd_mark + 1))" "$testpmd_log") ||
        gone "$testpmd_pid"
}

# Ends testpmd as a user would.
stop_testpmd() {
    echo > /tmp/testpmd.in
    wait_for 30 gone "$testpmd_pid"
    wait "$testpmd_pid" || fail "testpmd ended with status $?"
}

# ---- Interactive testpmd

# open_testpmd NAME COMMAND: starts COMMAND, a line of shell that runs testpmd -i, and returns when
# it prompts. Its output is in /tmp/testpmd-NAME.log, and is copied to /out at the end.
open_testpmd() {
    local name=$1
    rm -f "/tmp/testpmd-$name.in"
    mkfifo "/tmp/testpmd-$name.in"
    : > "/tmp/testpmd-$name.log"
    stdbuf -oL bash -c "exec $2" <> "/tmp/testpmd-$name.in" >> "/tmp/testpmd-$name.log" 2>&1 &
    testpmd_pids[$name]=$!
    logs+=("/tmp/testpmd-$name.log")
    prompted "$name" 0
}

# prompted NAME BYTES: waits for a prompt after the first BYTES of the log. The text up to the
# prompt is in `answer`.
prompted() {
    local name=$1 end=$((SECONDS + 60))
    until answer=$(tail -c "+$(($2 + 1))" "/tmp/testpmd-$name.log" | tr -d '\0\r') &&
        # EAL's thread prints events at any time, even in the middle of the prompt.
        tr -d '\n' <<< "$answer" | sed 's/Port [0-9]*: [a-z ]* event//g' | grep -q 'testpmd> '; do
        ! gone "${testpmd_pids[$name]}" || fail "testpmd $name ended: $(tail -5 "/tmp/testpmd-$name.log")"
        [ "$SECONDS" -lt "$end" ] || fail "testpmd $name does not answer: $answer"
        sleep 0.05
    done
}

# ask NAME COMMAND: types a command. The output up to the next prompt is in `answer`.
ask() {
    local before
    before=$(stat -c %s "/tmp/testpmd-$1.log")
    echo "$2" > "/tmp/testpmd-$1.in"
    prompted "$1" "$before"
}

# answers NAME COMMAND PATTERN...: fails unless every pattern matches a line of the answer. A
# pattern that begins with ! must match no line.
answers() {
    local name=$1 command=$2 pattern
    shift 2
    ask "$name" "$command"
    for pattern in "$@" '!^(Bad arguments|Command not found|Ambiguous command)'; do
        case $pattern in
        !*) ! grep -qE -- "${pattern#!}" <<< "$answer" ;;
        *) grep -qE -- "$pattern" <<< "$answer" ;;
        esac || fail "testpmd $name, '$command': not '$pattern': $answer"
    done
}

# close_testpmd NAME: ends that testpmd as a user would.
close_testpmd() {
    local pid=${testpmd_pids[$1]} status=0
    echo quit > "/tmp/testpmd-$1.in"
    wait_for 60 gone "$pid"
    wait "$pid" || status=$?
    [ "$status" = 0 ] || fail "testpmd $1 ended with status $status: $(tail -5 "/tmp/testpmd-$1.log")"
}

# port_xstat PORT NAME: prints an extended statistic of a port, from telemetry.
port_xstat() {
    told "/ethdev/xstats,$1" "a['$2']"
}
