#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Two devices on one worker: a hostile driver of one device slows the other only within limits
# time: 400

use_bus vhost
start_app -- --device vd0,attach=vhost,queue_size=32768 --reflect vd0 \
    --device vd1,attach=vhost --reflect vd1
wait_for 20 test -e /dev/vhost-vdpa-1
[ "$(basename /sys/bus/vdpa/devices/vd0/vhost-vdpa-*)" = vhost-vdpa-0 ] || fail "vd0 is another one"
in_python vdpa_client.neighbour
app_says 'vd1: queue 1 is not served until' || fail "no jump of an index was noticed"
no_complaints ': queue [0-9]+ is not served until'
stop_app
