#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kill -9 of vduse-dp between two netdevs under full traffic, many times: a pause, and at most a burst is lost
# time: 500
# long: 4000
#
#   netns guest ── vd0 ── vduse-dp ── vd1 ── netns other
#
# Two netdevs and no tap: a tap of net_tap is removed with its process, and its queued frames are
# lost.

quick_starts
# shellcheck disable=SC2054  # commas of the options
devices=(--device vd0,attach=virtio --device vd1,attach=virtio --patch vd0:vd1)

use_bus virtio
start_app -- "${devices[@]}"
to_netns() { # NAME NAMESPACE
    wait_for 20 netdev_of "$1"
    local link
    link=$(netdev_of "$1")
    ip netns add "$2"
    ip link set "$link" netns "$2" name "$1"
    # The default, fq_codel, would drop frames that waited long while no process served the device.
    tc -n "$2" qdisc replace dev "$1" root pfifo limit 1000
    ip -n "$2" link set "$1" up
}
to_netns vd0 guest
to_netns vd1 other
carriers() {
    local pair
    for pair in "guest vd0" "other vd1"; do
        # shellcheck disable=SC2086  # two words
        set -- $pair
        ip netns exec "$1" grep -H . "/sys/class/net/$2/"{ifindex,carrier,carrier_changes,address}
    done
}
up() {
    [ "$(carriers | grep -c '/carrier:1')" = 2 ]
}
wait_for 20 up
carriers > before
kill -KILL "$app_pid"
wait "$app_pid" || true
dmesg --clear

kills=${KILLS:-$(times 30 1000)}
step "$kills kills"
in_python netdev.kill9 "$kills" "$app_log" vd0@guest vd1@other -- "${app[@]}" "${app_eal[@]}" -- "${devices[@]}"

step "neither the netdevs nor the kernel have noticed"
carriers > after
diff before after || fail "the netdevs have changed"
dmesg --notime > kernel.log
! grep . kernel.log || fail "the kernel complains: $(head -1 kernel.log)"
start_app -- "${devices[@]}"
app_says "vd0: adopted the existing device" || fail "it was not adopted"
stop_app
