#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# TCP between two netdevs of the kernel, in turns through vduse-dp and through net_vhost on VDUSE
# time: 900
# needs: build=app
#
#   netns guest, 10.9.9.1 ── vd0 ── vduse-dp, or Debian 13's testpmd with net_vhost ── vd1 ── netns other, 10.9.9.3
#
# The scenario asserts only that bytes flow, not a speed: on a shared machine only the ratio of two
# runs next to each other is meaningful. The table has medians, their spread and the ratio;
# tcp-pair.json has all rates.

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
other_ip=10.9.9.3
rounds=$(times 2 7) seconds=$(times 2 3)

use_bus virtio

open_vduse_dp() {
    start_app -- --patch vd0:vd1 --device vd0,attach=virtio --device vd1,attach=virtio
}
close_vduse_dp() {
    stop_app
}
open_net_vhost() {
    open_testpmd incumbent "debian13 dpdk-testpmd -l 0-1 --no-pci --in-memory --no-telemetry --iova-mode=va \
        --log-level='lib.vhost.*:critical' --vdev net_vhost0,iface=/dev/vduse/vd0,tso=1 \
        --vdev net_vhost1,iface=/dev/vduse/vd1,tso=1 -- -i --total-num-mbufs=8192 --disable-link-check --auto-start"
    vdpa dev add name vd0 mgmtdev vduse
    vdpa dev add name vd1 mgmtdev vduse
}
close_net_vhost() {
    vdpa dev del vd0
    vdpa dev del vd1
    close_testpmd incumbent
}

# measure WAY REVERSE
measure() {
    local mbit
    mbit=$(in_netns iperf3 --client "$other_ip" --time "$seconds" --json ${2:+"$2"} | python3 -c 'import json, sys
print(round(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"] / 1e6, 1))')
    echo "$contender $1 $mbit" | tee -a rates.txt
    [ "${mbit%.*}" -gt 0 ] || fail "no bytes: $contender $1"
}

: > rates.txt
for ((round = 1; round <= rounds; round++)); do
    for contender in vduse_dp net_vhost; do
        step "round $round of $rounds, $contender"
        "open_$contender"
        driver_to_netns vd1 other "$other_ip"
        driver_to_netns vd0
        ip netns exec other iperf3 --server --daemon --pidfile /tmp/iperf.pid
        wait_for 20 in_netns ping -c 1 -W 1 "$other_ip"
        measure there ''
        measure back --reverse
        kill "$(tr -d '\0' < /tmp/iperf.pid)"
        "close_$contender"
        ip netns del guest
        ip netns del other
    done
done
python3 -B - << 'END' | tee table.txt
import json, statistics
rows = [line.split() for line in open("rates.txt")]
json.dump([{"side": side, "way": way, "mbit": float(mbit)} for side, way, mbit in rows], open("tcp-pair.json", "w"))
print("way    side         median Mbit/s   least    most")
for way in ("there", "back"):
    medians = {}
    for side in ("vduse_dp", "net_vhost"):
        rates = [float(mbit) for s, w, mbit in rows if (s, w) == (side, way)]
        medians[side] = statistics.median(rates)
        print(f"{way:6} {side:12} {medians[side]:13.0f} {min(rates):7.0f} {max(rates):7.0f}")
    print(f"{way:6} ratio        {medians['vduse_dp'] / medians['net_vhost']:13.2f}")
END
