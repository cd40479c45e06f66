#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A Linux guest migrates to another device and back under pings and while it receives over TCP
# time: 900

use_bus vhost
python_cpus=0,1
start_app --vdev=net_tap0,iface=dtap0 -- --idle-us 1000 --device vd0,attach=vhost,queues=2 \
    --device vd1,attach=vhost,queues=2 --port net_tap0 --bridge vd0,vd1,net_tap0
tap_up
vhost_of() {
    basename /sys/bus/vdpa/devices/"$1"/vhost-vdpa-*
}
for name in vd0 vd1; do
    wait_for 20 test -e "/dev/$(vhost_of "$name")"
done

guest_vhost=/dev/$(vhost_of vd0)
step "a guest"
start_guest queues=2 mq=on,mac=02:00:00:00:00:10
guest_up

step "another MAC, a VLAN, two pairs, no large frames to it; a transfer and pings that go on"
guest 'ip link set eth0 address 02:aa:bb:cc:dd:ee; ethtool -L eth0 combined 2; ip link add link eth0 name v5 type vlan id 5'
guest 'ethtool -K eth0 rx-gro-hw off'
same_state() { # DEVICE
    telemetry "/vduse/info,$1" '{"GUEST_TSO4", "GUEST_TSO6"} <= set(a["offloads_off"]) and "CSUM" in a["feature_names"]'
    telemetry "/vduse/info,$1" 'a["mac"] == "02:aa:bb:cc:dd:ee" and a["active_pairs"] == 2 and a["promiscuous"] == "no"'
    [ "$(told "/vduse/info,$1" 'a["vlans"]')" = "$vlans" ] || fail "$1 has other VLANs than vd0 had"
    [ "$(told "/vduse/info,$1" 'a["multicast"]')" = "$multicast" ] || fail "$1 has other multicast addresses"
}
vlans=$(told /vduse/info,vd0 'a["vlans"]') multicast=$(told /vduse/info,vd0 'a["multicast"]')
[ "$vlans" -gt 0 ] || fail "no VLAN was set"
same_state vd0
# Sends to the guest slowly, so that the transfer lasts, and stores what the guest should receive.
tcp_server 5000 'import os, time
with open(path, "wb") as sent:
    while not os.path.exists("/tmp/enough"):
        data = os.urandom(2048)
        peer.sendall(data)
        sent.write(data)
        time.sleep(0.1)' /tmp/sent
guest "nc $tap_ip 5000 > /tmp/received 2> /tmp/nc.txt &"
ping -i 0.05 -q "$driver_ip" > ping.txt &
ping_pid=$!

loses_nothing() {
    local output
    output=$(guest "ping -c 5 -i 0.2 -W 5 $tap_ip") || true
    grep -q ' 0% packet loss' <<< "$output"
}

migrate_to() { # DEVICE FROM
    step "from $2 to $1"
    local from=$guest_files old_pid=$guest_pid old_in=$guest_in old_out=$guest_out
    guest_vhost=/dev/$(vhost_of "$1")
    guest_files=/tmp/guest-$1
    start_guest_qemu queues=2 mq=on,mac=02:00:00:00:00:10 -incoming defer
    in_python qtest.migrate_guest "$from.qmp" "$2" "$guest_files.qmp" "$1"
    wait_for 60 gone "$old_pid"
    exec {old_in}>&- {old_out}>&-
    same_state "$1"
    # QEMU must translate all of the guest's code again, and frames queue up meanwhile.
    wait_for 120 ping -c 5 -i 0.2 -w 2 -q "$driver_ip"
    wait_for 60 loses_nothing
    telemetry "/vduse/info,$2" 'a["status"] == "0x0"'
}
size=0
for way in "vd1 vd0" "vd0 vd1"; do
    # shellcheck disable=SC2086  # two words
    migrate_to $way
    [ "$(stat -c %s /tmp/sent)" -gt "$size" ] || fail "the transfer stands still"
    size=$(stat -c %s /tmp/sent)
done

step "the transfer ends; nothing of it is missing"
touch /tmp/enough
wait "$server_pid"
wait_for 60 guest '! pidof nc'
[ "$(guest 'sha256sum < /tmp/received')" = "$(sha256sum < /tmp/sent)" ] || fail "received is not what was sent: $(guest 'ls -l /tmp/received') of $(stat -c %s /tmp/sent)"
kill -INT "$ping_pid"
wait "$ping_pid" || true
grep received ping.txt

step "the guest powers off"
guest_poweroff
no_complaints
stop_app
