#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A second vduse-dp and a testpmd cannot take a device that is in use: they name the owner's pid and do no harm
# time: 300

# shellcheck source=test/vm/lab/testpmd.sh
source /src/test/vm/lab/testpmd.sh
install_driver
app_eal+=(-m 16)
use_bus virtio
start_app --vdev=net_tap0,iface=dtap0 -- --device vd0,attach=virtio --port net_tap0 --patch vd0:net_tap0
tap_up
driver_to_netns vd0
in_netns ping -i 0.02 "$tap_ip" > flood.txt &
flood=$!

# refused STATUS COMMAND...: COMMAND must exit by itself with that status, and name the owner of
# vd0.
refused() {
    local wanted=$1 status=0
    shift
    timeout 60 "$@" < /dev/null > /tmp/second.log 2>&1 || status=$?
    cp /tmp/second.log "second-$(basename "$1").log"
    [ "$status" = "$wanted" ] || fail "$1 ended with status $status: $(tail -3 /tmp/second.log)"
    grep -q "vd0: .*another process has it open: pid $app_pid\b" /tmp/second.log || fail "$1 says: $(tail -5 /tmp/second.log)"
}

step "a second vduse-dp"
for _ in 1 2 3; do
    refused 1 "${app[@]}" "${app_eal[@]}" -- --device vd0,attach=virtio --reflect vd0
    refused 1 "${app[@]}" "${app_eal[@]}" -- --device vd0,attach=virtio,persist=1 --reflect vd0
done

step "testpmd, which goes on without the port"
refused 0 dpdk-testpmd "${app_eal[@]}" --no-telemetry --vdev net_vduse0,iface=vd0,attach=virtio -- --total-num-mbufs=2048

step "the first one has noticed nothing"
pkill -INT -x ping # the job is a shell around it, which heeds no SIGINT
wait "$flood" || true
tail -2 flood.txt
answered_without_gap flood.txt || fail "it lost frames"
no_complaints 'attached, driver virtio_vdpa'
stop_app
