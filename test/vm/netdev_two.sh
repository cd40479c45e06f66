#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A bridge of two devices and a tap: pings among all three, TCP between the devices, learning
# time: 700
#
#   netns guest, 10.9.9.1 ── vd0 ─┐
#                                 ├─ bridge ── dtap0, 10.9.9.2
#   netns other, 10.9.9.3 ── vd1 ─┘

other_ip=10.9.9.3

use_bus virtio
start_app --vdev=net_tap0,iface=dtap0 -- --stats 1 --bridge vd0,vd1,net_tap0 --port net_tap0 \
    --device vd0,attach=virtio,mtu=9000 --device vd1,attach=virtio,mtu=9000
tap_up
driver_to_netns vd1 other "$other_ip"
other=$netdev
driver_to_netns vd0

bridge_count() { # NAME
    told /vduse/bridge,bridge0 "a['$1']"
}

step "the links are up, and stay up when the tap goes down"
has_link() { # NETNS NETDEV
    ip netns exec "$1" ethtool "$2" | grep -q 'Link detected: yes'
}
wait_for 10 has_link guest "$netdev"
wait_for 10 has_link other "$other"
ip link set dtap0 down
mark_log
wait_for 10 app_says '^net_tap0: link down'
has_link guest "$netdev" || fail "a member's link follows the tap"
ip link set dtap0 up

step "20 pings each way among the three"
all_answered "$other_ip" in_netns
all_answered "$tap_ip" in_netns
all_answered "$tap_ip" in_other
all_answered "$driver_ip"
stations=$(bridge_count stations)
[ "$stations" -ge 3 ] || fail "$stations stations are known, not three"

step "8972 bytes in one piece"
in_netns ping -M "do" -s 8972 -c 5 -i 0.2 -W 5 -q "$other_ip" | grep -q ' 5 received' ||
    fail "long pings were lost"

# Frames to 01:80:C2:00:00:XX. "send DEVICE" sends five frames to each address. "hear DEVICE" prints
# how many frames were received for each XX, once the five to the last address were received.
cat > /tmp/reserved.py << 'END'
import collections, socket, sys, time
ENDS, LAST = (0x00, 0x01, 0x02, 0x03, 0x0E), 0x20
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
raw.bind((sys.argv[2], 0x88B5))
if sys.argv[1] == "send":
    source = raw.getsockname()[4]
    for end in (*ENDS, LAST):
        for _ in range(5):
            raw.send(bytes([1, 0x80, 0xC2, 0, 0, end]) + source + b"\x88\xb5" + bytes(46))
            time.sleep(0.01)
else:
    raw.settimeout(30)
    open(f"/tmp/hears-{sys.argv[2]}", "w").close()
    heard = collections.Counter()
    while heard[LAST] < 5:
        frame, address = raw.recvfrom(2048)
        if address[2] != socket.PACKET_OUTGOING and frame[:5] == bytes([1, 0x80, 0xC2, 0, 0]):
            heard[frame[5]] += 1
    print(*(f"{end:02x}:{count}" for end, count in sorted(heard.items())))
END
step "frames that no bridge may pass on stay; those to 01:80:C2:00:00:00 and :20 pass"
before=$(bridge_count link_local)
in_other ip link set "$other" promisc on
in_other python3 /tmp/reserved.py hear "$other" > /tmp/heard-other &
first=$!
python3 /tmp/reserved.py hear dtap0 > /tmp/heard-tap &
second=$!
wait_for 20 test -e "/tmp/hears-$other" -a -e /tmp/hears-dtap0
in_netns python3 /tmp/reserved.py send "$netdev"
wait "$first" || fail "vd1 hears nothing of :20"
wait "$second" || fail "the tap hears nothing of :20"
for heard in /tmp/heard-other /tmp/heard-tap; do
    [ "$(cat "$heard")" = "00:5 20:5" ] || fail "$heard: $(cat "$heard")"
done
[ $(($(bridge_count link_local) - before)) = 20 ] || fail "they are not counted"
in_other ip link set "$other" promisc off

# Counts the TCP frames that the tap receives, until it is terminated.
cat > /tmp/listen.py << 'END'
import signal, socket, sys
frames = 0
def end(*_):
    print(frames, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
tap.bind(("dtap0", 0))
open("/tmp/listens", "w").close()
while True:
    frame, address = tap.recvfrom(65536)
    if address[2] != socket.PACKET_OUTGOING and frame[12:14] == b"\x08\x00" and frame[23] == 6:
        frames += 1
END

in_other iperf3 --server --daemon
in_other_listens() {
    in_other ss -Hltn "sport = :5201" | grep -q .
}
wait_for 10 in_other_listens
for mtu in 9000 1500; do
    step "TCP with an MTU of $mtu, both ways; the tap must not hear of it"
    in_netns ip link set "$netdev" mtu "$mtu"
    in_other ip link set "$other" mtu "$mtu"
    in_netns ping -c 2 -W 5 -q "$other_ip" > /dev/null
    flooded=$(bridge_count flooded)
    rm -f /tmp/listens
    python3 /tmp/listen.py > /tmp/heard &
    listener=$!
    wait_for 20 test -e /tmp/listens
    for reverse in '' --reverse; do
        in_netns iperf3 --client "$other_ip" --time "$(times 3 8)" --json $reverse > "iperf3-$mtu$reverse.json"
        bytes=$(python3 -c 'import json, sys
print(json.load(sys.stdin)["end"]["sum_received"]["bytes"])' < "iperf3-$mtu$reverse.json")
        step "$bytes bytes"
        [ "$bytes" -gt 1000000 ] || fail "hardly any traffic"
    done
    kill -TERM "$listener"
    wait "$listener" || fail "the listener on the tap failed"
    heard=$(cat /tmp/heard)
    [ "$heard" = 0 ] || fail "the tap received $heard TCP frames of others"
    more=$(($(bridge_count flooded) - flooded))
    # ARP and IPv6 may have sent frames meanwhile.
    [ "$more" -lt 50 ] || fail "$more frames were flooded after everything was learned"
done

step "the listener would have heard: TCP to the tap itself"
rm -f /tmp/listens
python3 /tmp/listen.py > /tmp/heard &
listener=$!
wait_for 20 test -e /tmp/listens
head -c 100000 /dev/urandom > /tmp/file
take_file 5001 /tmp/back
in_netns bash -c "cat > /dev/tcp/$tap_ip/5001" < /tmp/file
wait "$server_pid"
same_file /tmp/file /tmp/back
kill -TERM "$listener"
wait "$listener" || fail "the listener on the tap failed"
[ "$(cat /tmp/heard)" -gt 0 ] || fail "the listener on the tap is deaf"

stop_app
