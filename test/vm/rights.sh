#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vduse-dp without root's rights names each right that it needs and lacks, and leaves nothing behind
# time: 120

modprobe vhost_vdpa
chmod 666 /dev/vduse/control

# refused WORDS... -- PATTERN: runs vduse-dp as a user whose only rights are those that the setpriv
# options WORDS give.
refused() {
    local words=() status=0
    while [ "$1" != -- ]; do
        words+=("$1") && shift
    done
    setpriv --reuid=65534 --regid=65534 --clear-groups "${words[@]}" env XDG_RUNTIME_DIR=/tmp/nobody \
        "${app[@]}" -l 0-1 --no-pci --no-huge -m 64 -- --device vd0 --reflect vd0 > refused.log 2>&1 || status=$?
    [ "$status" = 1 ] || fail "exit status $status: $(tail -5 refused.log)"
    grep -qE -- "$2" refused.log || fail "no line says '$2': $(tail -5 refused.log)"
    [ ! -e /dev/vduse/vd0 ] || fail "/dev/vduse/vd0 stays behind"
}
install -d -o 65534 /tmp/nobody

step "a right of the process"
refused -- 'VDUSE_CREATE_DEV \(this requires CAP_NET_ADMIN .*AmbientCapabilities=CAP_NET_ADMIN\): Operation not permitted'

step "a right on the device's own node"
refused --inh-caps=+net_admin --ambient-caps=+net_admin -- 'open /dev/vduse/vd0 \(no access to the file; grant it with a udev rule'

step "a right on the control node"
chmod 600 /dev/vduse/control
refused -- 'open /dev/vduse/control \(no access to the file; grant it with a udev rule.*\): Permission denied'
