#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A second vduse-dp takes over two devices from the first under traffic; the pause compared with that of a crash
# time: 500
#
#   netns guest, 10.9.9.1 ── vd0 ── patch ── vd1 ── netns other, 10.9.9.3

other_ip=10.9.9.3
# shellcheck disable=SC2054  # commas of the options
devices=(--device vd0,attach=virtio --device vd1,attach=virtio --patch vd0:vd1)

answered_again() {
    [ "$(grep -c icmp_seq /tmp/pings)" -gt $((answers + 100)) ]
}

# longest_pause COMMAND...: runs COMMAND under pings every 5 ms. `pause` is the longest time without
# an answer, in ms.
longest_pause() {
    local pinger answers=0
    # Not in_netns: the job would be a shell around ping.
    ip netns exec guest stdbuf -oL ping -D -i 0.005 -W 10 "$other_ip" > /tmp/pings &
    pinger=$!
    wait_for 20 answered_again
    "$@"
    answers=$(grep -c icmp_seq /tmp/pings)
    wait_for 30 answered_again
    kill -KILL "$pinger"
    wait "$pinger" 2> /dev/null || true
    pause=$(awk -F'[][]' '/icmp_seq/ { if (last && $2 - last > most) most = $2 - last; last = $2 }
        END { printf "%.0f\n", most * 1000 }' /tmp/pings)
}

undisturbed() {
    [ "$(in_netns cat "/sys/class/net/$netdev/ifindex")" = "$index" ] || fail "it is another netdev"
    in_netns ip -br link show dev "$netdev" | grep -q LOWER_UP || fail "the netdev lost its carrier"
    all_answered "$other_ip" in_netns
}

taken_over() {
    local before=$app_pid
    start_app -- --take-over "${devices[@]}"
    app_says "note: took over from pid $before" || fail "it does not say from whom"
    for name in vd0 vd1; do
        app_says "$name: adopted the existing device" || fail "$name was made anew"
    done
    wait_for 30 gone "$before"
    wait "$before" || fail "the first one ended with status $?"
}

crashed() {
    kill -KILL "$app_pid"
    wait "$app_pid" 2> /dev/null || true
    start_app -- "${devices[@]}"
}

use_bus virtio
start_app -- "${devices[@]}"
driver_to_netns vd1 other "$other_ip"
driver_to_netns vd0
wait_for 10 in_netns ping -c 1 -W 1 "$other_ip"
index=$(in_netns cat "/sys/class/net/$netdev/ifindex")

step "who cannot go on with the devices does not get them"
refused() { # PATTERN OPTIONS...
    local pattern=$1 status=0
    shift
    "${app[@]}" "${app_eal[@]}" -- --take-over "$@" > /tmp/refused 2>&1 || status=$?
    [ "$status" = 1 ] || fail "status $status instead of 1 with $*"
    grep -qE -- "$pattern" /tmp/refused || fail "not '$pattern' but $(tail -2 /tmp/refused)"
    kill -0 "$app_pid" || fail "the first one is gone"
}
refused "vd1: its journal is of a device with other options" \
    --device vd0,attach=virtio --device vd1,attach=virtio,mtu=9000 --patch vd0:vd1
refused "pid $app_pid has vd1 too" --device vd0,attach=virtio --reflect vd0
undisturbed

step "three times each"
for round in 1 2 3; do
    longest_pause taken_over
    taken=$pause
    undisturbed
    longest_pause crashed
    undisturbed
    echo "round $round: longest time without an answer: take-over $taken ms, kill -9 and a start $pause ms"
    grep '^vduse-dp: ready' "$app_log"
done
stop_app

step "with a port, which the first one closes"
start_app --vdev=net_tap0,iface=dtap0,mac=fixed -- --device vd2,attach=virtio --port net_tap0 --patch vd2:net_tap0
tap_up
driver_to_netns vd2
wait_for 10 in_netns ping -c 1 -W 1 "$tap_ip"
before=$app_pid
start_app --vdev=net_tap0,iface=dtap0,mac=fixed -- --take-over --device vd2,attach=virtio --port net_tap0 \
    --patch vd2:net_tap0
gone "$before" || fail "the first one is still there"
tap_up
wait_for 10 in_netns ping -c 1 -W 1 "$tap_ip"
all_answered "$tap_ip" in_netns
stop_app
