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
