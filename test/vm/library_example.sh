#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# examples/reflect.cc, compiled against the installed library, shared and static: a netdev gets its own frames back
# needs: lab=example
# time: 200

use_bus virtio

# Prints the netdev's counters: frames received, frames sent.
frames() {
    in_netns cat "/sys/class/net/$netdev/statistics"/{rx,tx}_packets | xargs
}
# Succeeds if each frame came back.
all_back() {
    local received sent
    read -r received sent < <(frames)
    [ "$sent" -ge 100 ] && [ "$received" = "$sent" ]
}

for form in shared static; do
    step "$form"
    LD_LIBRARY_PATH=/lab/example/lib "/lab/example/reflect-$form" "${app_eal[@]}" -- vd0 > "$form.log" 2>&1 &
    example=$!
    wait_for 20 test -e /dev/vduse/vd0
    vdpa dev add name vd0 mgmtdev vduse
    driver_to_netns vd0
    ip -n guest neigh add "$tap_ip" lladdr 02:00:00:00:00:99 dev "$netdev"
    in_netns ping -c 100 -i 0.01 -W 1 -q "$tap_ip" > /dev/null || true # who would answer?
    wait_for 10 all_back
    step "$(frames) frames came and went"
    vdpa dev del vd0
    kill -TERM "$example"
    wait "$example" || fail "reflect-$form ended with status $?: $(tail -3 "$form.log")"
    [ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 is still there"
    ip netns del guest
done
