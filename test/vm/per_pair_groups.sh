#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A group for each queue pair: pair 1 in other address spaces than pair 0, nothing is written through an old mapping
# time: 300

use_bus vhost
start_app -- --device vd0,attach=vhost,queues=2,groups=per-pair,as=4 --reflect vd0
wait_for 20 test -e /dev/vhost-vdpa-0
in_python vdpa_client.per_pair_groups
no_complaints ': queue [23] not started: it is not mapped'
stop_app

step "as many groups as there can be: what does not fit into an answer is counted"
# Not attached: vhost_vdpa fails with ENOMEM for 257 queues.
start_app -- --device vd0,queues=128,groups=per-pair --reflect vd0
telemetry /vduse/info,vd0 'len(a["groups"]) + a["groups_left_out"] == 129'
telemetry /vduse/info,vd0 'len(a["spaces"]) + a["spaces_left_out"] == 129'
telemetry /vduse/group,vd0,128 'a["use"] == "control"'
telemetry /vduse/space,vd0,128 'a["region_count"] == len(a["regions"])'
/build/tools/vduse-dp-top -b -n 1 > top.txt || fail "vduse-dp-top ended with status $?"
grep -q '^vd0: .* 128 pairs' top.txt || fail "no device in top.txt"
stop_app
