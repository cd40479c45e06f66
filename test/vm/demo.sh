#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The scenario of devtools/demo: the kernel's netdev and a guest in QEMU exchange TCP through two devices
# time: 900
# needs: build=app
#
#   kernel's virtio-net (netns guest) ── vd0 ── vduse-dp ── vd1 ── QEMU 11.1 ── Linux guest
#       10.9.9.1 on virtio_vdpa                          vhost-vdpa      10.9.9.3, CVQ shadowed

megabytes=1
guest_ip=10.9.9.3

modprobe -a virtio_net virtio_vdpa vhost_vdpa
drivers / # as a user has them
step "vduse-dp makes vd0 for the kernel, vd1 for QEMU, and patches them to each other"
start_app -- --stats 1 --patch vd0:vd1 \
    --device vd0,queues=2,attach=virtio --device vd1,queues=2,attach=vhost
wait_for 30 app_says 'vd1: attached'
driver_to_netns vd0
wait_for 20 test -e /dev/vhost-vdpa-0

step "a Linux guest in $("${qemu[@]}" --version | head -1)"
start_guest queues=2 mq=on
guest "ip addr add $guest_ip/24 dev eth0; ip link set eth0 up" > /dev/null

step "10 pings"
pings=$(in_netns ping -c 10 -i 0.2 -W 5 -q "$guest_ip" | tee /dev/stderr | grep -oE '[0-9]+ received') ||
    fail "no pings"
[ "$pings" = '10 received' ] || fail "pings were lost: $pings"

# Prints a device's counters for one direction: frames, bytes, frames whose checksum is left to the
# receiver, and large frames that replace many small ones.
count() { # DEVICE DIRECTION
    told "/vduse/stats,$1" "'{frames} {bytes} {csum} {large}'.format(**a['$2'])"
}

# transfer NAME COMMAND...: times COMMAND, and adds a row to the table.
transfer() {
    local name=$1 begin took
    shift
    step "$name: $megabytes MB"
    begin=$(date +%s%N)
    "$@"
    took=$(($(date +%s%N) - begin))
    rows+=$(printf '%-28s %6s MB %8.1f s %10.1f Mbit/s\\n' "$name" "$megabytes" \
        "$((took / 100000000))e-1" "$((megabytes * 80000000000 / took))e-1")
}
rows=''
dd if=/dev/urandom of=/tmp/file bs=1M count=$megabytes status=none
to_guest() {
    in_netns bash -c 'cat > /dev/tcp/'$guest_ip'/5000' < /tmp/file
    wait_for 300 guest "test -e /tmp/done"
}
from_guest() {
    wait_for 300 in_netns bash -c "cat < /dev/tcp/$guest_ip/5001 > /tmp/back"
}
guest "{ nc -l -p 5000 > /tmp/file; : > /tmp/done; } > /dev/null 2>&1 &"
wait_for 20 guest "netstat -ltn | grep -q :5000"
transfer "TCP, kernel to guest" to_guest
# nc itself would write a kilobyte at a time
guest "nc -l -p 5001 -e cat /tmp/file > /dev/null 2>&1 &"
wait_for 20 guest "netstat -ltn | grep -q :5001"
transfer "TCP, guest to kernel" from_guest
same_file /tmp/file /tmp/back

mark_log
wait_for 10 app_says '^vd1:'
sleep 1.5 # the counters of a whole period behind the last frame
tac "$app_log" | sed -n '1,/^vd0:/p' | tac > /tmp/block
grep -q 'group 1 control  asid 1' /tmp/block || fail "QEMU did not isolate the control queue"
{
    echo "what ran                        size       time           rate"
    printf "%b" "$rows"
    printf '%-28s %s\n' "ping" "$pings of 10" "the file came back" "equal (sha256)"
    for device in vd0 vd1; do
        for direction in from_guest to_guest; do
            read -r frames bytes sums large <<< "$(count $device $direction)"
            printf '%-28s %8s frames %10s bytes, %s without checksum, %s large\n' \
                "$device $direction" "$frames" "$bytes" "$sums" "$large"
        done
    done
    echo
    cat /tmp/block
} > table.txt
cat table.txt

guest_poweroff
stop_app
