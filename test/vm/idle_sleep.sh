#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# With --idle-us an idle worker uses no CPU and loses no frame: netdev and tap, both ways
# time: 300

use_bus virtio
start_app --vdev=net_tap0,iface=dtap0 -- --idle-us 100 \
    --device vd0,attach=virtio --port net_tap0 --patch vd0:net_tap0
! app_says 'never sleeps' || fail "the worker cannot sleep: $(grep 'never sleeps' "$app_log")"
tap_up
driver_to_netns vd0

worker=$(grep -l 'worker.*1$' /proc/"$app_pid"/task/*/comm | head -1)
[ -n "$worker" ] || fail "no thread is lcore 1: $(cat /proc/"$app_pid"/task/*/comm)"
stat=$(dirname "$worker")/stat

# Prints the worker's CPU time, in hundredths of a second.
cpu_time() {
    awk '{print $14 + $15}' "$stat"
}

# expect_idle SECONDS
expect_idle() {
    local before after
    sleep 1 # what was under way
    before=$(cpu_time)
    sleep "$1"
    after=$(cpu_time)
    step "the worker took $(((after - before) / $1)) % of $1 s"
    [ $((after - before)) -lt $((2 * $1)) ] || fail "an idle worker took $(((after - before) / $1)) %"
}

# The first ping resolves the neighbours' addresses.
in_netns ping -c 1 -W 10 -q "$tap_ip" | grep -q ' 1 received' || fail "no ping at all"
expect_idle 5

step "one ping each way, into its sleep"
in_netns ping -c 1 -W 5 -q "$tap_ip" | grep -q ' 1 received' || fail "the first ping from the guest was lost"
sleep 0.5
ping -c 1 -W 5 -q "$driver_ip" | grep -q ' 1 received' || fail "the first ping to the guest was lost"

step "50 pings each way, 0.2 s between them"
ping -c 50 -i 0.2 -W 5 -q "$driver_ip" > to_guest.txt &
pings=$!
in_netns ping -c 50 -i 0.2 -W 5 -q "$tap_ip" > from_guest.txt || true
wait "$pings" || true
for direction in to_guest from_guest; do
    cat $direction.txt
    grep -q ' 50 received, 0% packet loss' $direction.txt || fail "pings were lost $direction"
done
expect_idle 3

step "the driver goes and comes again"
ip -n guest link set "$netdev" down
ip -n guest link set "$netdev" up
in_netns ping -c 5 -i 0.2 -W 5 -q "$tap_ip" | grep -q ' 5 received' || fail "no pings after it"

stop_app
sleeps=$(sed -n 's/^lcore 1: \([0-9]*\) sleeps.*/\1/p' "$app_log" | tail -1)
step "$sleeps sleeps"
[ "${sleeps:-0}" -ge 50 ] || fail "only ${sleeps:-no} sleeps"
