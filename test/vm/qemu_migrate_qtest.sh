#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# QEMU without a guest migrates between devices of one vduse-dp and of two, and to devices that cannot take it
# time: 900

use_bus vhost
migrate() {
    in_python qtest.migrate --qemu "debian13 qemu-system-x86_64" "$@"
}
python_cpus=0,1
device=queues=2,attach=vhost

step "ten times there and back, within one vduse-dp"
start_app -- --idle-us 1000 --device vd0,$device --device vd1,$device --reflect vd0 --reflect vd1
migrate vd0 vd1
no_complaints
stop_app

step "between two of them, and to devices with less: one pair, and no indirect descriptors"
start_app -- --idle-us 1000 --device vd0,$device,profile=full --reflect vd0
here_pid=$app_pid here_log=$app_log
app_log=/tmp/vduse-dp-there.log
logs+=("$app_log")
start_app --file-prefix there -- --idle-us 1000 --device vd1,$device,profile=full --reflect vd1 \
    --device vd2,attach=vhost,profile=full --reflect vd2 --device vd3,$device --reflect vd3
migrate --rounds 1 --refuses vd2:there --refuses vd3:there vd0 vd1:there
no_complaints ': profile=full:'
stop_app
app_pid=$here_pid app_log=$here_log app_names=vd0
no_complaints ': profile=full:'
stop_app
