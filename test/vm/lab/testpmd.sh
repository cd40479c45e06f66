#!/bin/bash
# DPDK's driver for vhost-vdpa devices, in testpmd. Sourced by scenarios, after scenario.sh.

testpmd_log=/out/testpmd.log

# few_drivers: of DPDK's drivers, leaves those that testpmd is linked with or needs here. The EAL loads
# all that are installed, which takes an emulated VM many seconds at each start.
few_drivers() {
    local all few=/run/few-drivers name
    all=$(echo /usr/lib/*/dpdk/pmds-*)
    mkdir -p "$few"
    for name in librte_net_virtio librte_mempool_ring \
        $(ldd /usr/bin/dpdk-testpmd | grep -oP '(?<=/)librte_\w+(?=\.so)'); do
        ! compgen -G "$all/$name.so*" > /dev/null || cp -a "$all/$name".so* "$few"
    done
    mount --bind "$few" "$all"
}

# start_testpmd MBUFS [EAL options]: sends a burst through /dev/vhost-vdpa-0 and what comes back again
# and again; returns when it does. Its pid is testpmd_pid. The memory that it maps grows with MBUFS.
start_testpmd() {
    local mbufs=$1
    shift
    rm -f /tmp/testpmd.in
    mkfifo /tmp/testpmd.in
    : >> "$testpmd_log"
    testpmd_mark=$(wc -l < "$testpmd_log")
    # Forwarding polls; it shares its CPU with all but the application's worker.
    stdbuf -oL dpdk-testpmd --lcores 0@0,1@0 --no-pci --in-memory --no-telemetry --iova-mode=va "$@" \
        --vdev net_virtio_user0,path=/dev/vhost-vdpa-0,queue_size=1024 -- \
        --total-num-mbufs="$mbufs" --forward-mode=io --disable-link-check --auto-start --tx-first --burst=64 \
        <> /tmp/testpmd.in >> "$testpmd_log" 2>&1 &
    testpmd_pid=$!
    wait_for 60 testpmd_forwards_or_gone
    ! gone "$testpmd_pid" || fail "testpmd ended: $(tail -3 "$testpmd_log")"
}

testpmd_forwards_or_gone() {
    tail -n "+$((testpmd_mark + 1))" "$testpmd_log" | grep -q '^Press enter to exit' ||
        gone "$testpmd_pid"
}

# Ends it as a user would.
stop_testpmd() {
    echo > /tmp/testpmd.in
    wait_for 30 gone "$testpmd_pid"
    wait "$testpmd_pid" || fail "testpmd ended with status $?"
}
