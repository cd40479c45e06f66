#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# QEMU and testpmd are killed under traffic repeatedly: the next driver finds a working device, nothing leaks
# time: 600

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
use_bus vhost
start_app -- --device vd0,mac=02:00:00:00:00:10,queues=2,attach=vhost --reflect vd0
wait_for 20 test -e /dev/vhost-vdpa-0

# Counts open descriptors, without sockets (telemetry's clients), and mappings of files (guest
# memory).
holdings() {
    find "/proc/$app_pid/fd" -lname '*' ! -lname 'socket:*' | wc -l
    grep -cE '/memfd:|/dev/zero|vduse' "/proc/$app_pid/maps" || true
}
holds_as_before() {
    [ "$(holdings)" = "$before" ]
}
before=$(holdings)

step "QEMU"
in_python qtest.driver_killed "$(times 4 10)" "${qemu[@]}"
wait_for 20 holds_as_before

step "testpmd"
for _ in $(seq "$(times 4 10)"); do
    start_testpmd 4096
    in_python lab.traffic vd0 1000
    kill -KILL "$testpmd_pid"
    wait "$testpmd_pid" 2> /dev/null || true
    wait_for 20 holds_as_before
    telemetry /vduse/info,vd0 'a["status"] == "0x0" and a["spaces"]["0"]["region_count"] == 0'
done

no_complaints
stop_app
