#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The body of the scenarios qemu_isolated_cvq*: starts vduse-dp and runs isolated_cvq.py on it.
#
# Usage: source isolated_cvq.sh OPTIONS...     options of isolated_cvq.py

use_bus vhost
start_app -- --device vd0,mac=02:00:00:00:00:10,queues=2,attach=vhost --reflect vd0
wait_for 20 test -e /dev/vhost-vdpa-0

step "isolated_cvq.py $*"
status=0
PYTHONPATH=/src/test/vm PYTHONDONTWRITEBYTECODE=1 \
    python3 -m qtest.isolated_cvq --folder /tmp/qtest "$@" || status=$?
cp /tmp/qtest/output /out/qemu.log || true
[ "$status" = 0 ] || exit "$status" # the reason is printed

step "vduse-dp ends cleanly"
stop_app
