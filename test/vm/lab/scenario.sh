#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Functions that scenarios share. It is sourced in the VM before each of them; see README.md.
#
# Most scenarios have two sides: the driver of the VDUSE device (the VM's own kernel in the network
# namespace `guest`, or a guest in QEMU) at 10.9.9.1, and the tap dtap0 at 10.9.9.2.
set -Eeuo pipefail
trap 'fail "line $LINENO of $(basename "${BASH_SOURCE[0]}"): $BASH_COMMAND"' ERR

app=(/build/app/vduse-dp)
# Not in /out: it is on 9p, where reading a growing file may fail with ENODATA.
app_log=/tmp/vduse-dp.log
logs=("$app_log") # what of them is there comes to /out in the end
trap 'for log in "${logs[@]}"; do [ ! -e "$log" ] || cp "$log" /out/; done' EXIT
app_eal=(-l 0-1 --no-pci --in-memory)
driver_ip=10.9.9.1
tap_ip=10.9.9.2

step() {
    echo "== $(cut -d. -f1 /proc/uptime) s: $*"
}

# times FEW MANY: prints how often to repeat something: FEW normally, MANY with --long.
times() {
    if [ -n "${LONG:-}" ]; then echo "$2"; else echo "$1"; fi
}

# The last line that begins with FAIL: or SKIP: is the reason that devtools/vm shows.
fail() {
    trap - ERR
    [ ! -e "$app_log" ] || { echo "-- end of $app_log" && tail -15 "$app_log"; }
    echo "FAIL: $*"
    exit 1
}

skip() {
    echo "SKIP: $*"
    exit 77
}

# wait_for SECONDS COMMAND...: waits until COMMAND succeeds; fails after SECONDS.
wait_for() {
    local limit=$1 end=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "after $limit seconds, still not: $*"
        sleep 0.1
    done
}

# guide_block GUIDE NAME: prints the block of doc/guide-GUIDE.md that follows the line <!-- run:
# NAME -->.
guide_block() {
    awk -v mark="<!-- run: $2 -->" '$0 == mark { found = 1; next }
        found && /^```/ { if (inside) exit; inside = 1; next }
        inside' "/src/doc/guide-$1.md" | grep . || fail "doc/guide-$1.md has no block $2"
}

# in_guide GUIDE NAME: runs that block, as in a checkout that was built.
in_guide() {
    guide_block "$1" "$2" | sed "s/23\.0/$dpdk_abi/g" > /tmp/block
    ln -sfn /build /tmp/build
    (cd /tmp && "${host[@]}" bash -e /tmp/block)
}

# The guides' blocks run in the VM's main root. After use_debian13 they run in the Debian 13 root,
# and /build must be compiled for it. Network namespaces are shared between both roots.
host=() host_root='' dpdk_abi=23.0
use_debian13() {
    compgen -G '/build/drivers/net/vduse/librte_net_vduse.so.*' > /dev/null ||
        skip "net_vduse is compiled for Debian 13 with headers of its source package dpdk, which this machine's mirror must have"
    host=(debian13) host_root=/debian13 dpdk_abi=25.0
    mount --make-shared /run
    mount --rbind /run /debian13/run
}

# ---- The application

# start_app [EAL options] -- [options]: returns when its devices exist. Its pid is app_pid.
start_app() {
    [ -x "/build/app/vduse-dp" ] || fail "there is no /build/app/vduse-dp"
    app_names=$(grep -oP '(?<=--device[ =])[^, ]+' <<< "$*" || true)
    : > "$app_log"
    log_mark=0
    "${app[@]}" "${app_eal[@]}" "$@" >> "$app_log" 2>&1 &
    app_pid=$!
    wait_for 120 app_ready_or_gone
    kill -0 "$app_pid" 2> /dev/null || fail "vduse-dp ended while starting"
}

# drivers ROOT [DRIVER...]: makes EAL load only these of the root's PMDs, and those that every
# program needs. Without names, EAL loads all. In an emulated VM, loading all hundred takes seconds
# at each start.
drivers() {
    local all few=/run/drivers$1 name
    all=$(echo "${1%/}"/usr/lib/*/dpdk/pmds-*)
    ! mountpoint -q "$all" || umount "$all"
    [ $# -gt 1 ] || return 0
    rm -rf "$few"
    mkdir -p "$few"
    for name in mempool_ring bus_vdev bus_pci "${@:2}"; do
        ! compgen -G "$all/librte_$name.so*" > /dev/null || cp -a "$all/librte_$name".so* "$few"
    done
    mount --bind "$few" "$all"
}
drivers / net_tap net_virtio
drivers /debian13 net_tap

# quick_starts [DRIVER...]: for scenarios that start a program many times. EAL loads only these PMDs
# and clears little memory.
quick_starts() {
    drivers / "${@:-bus_vdev}"
    app_eal=(-l 0-1 --no-pci --in-memory --iova-mode=va -m 16)
}

app_ready_or_gone() {
    grep -q '^vduse-dp: ready' "$app_log" || ! kill -0 "$app_pid"
}

# app_says PATTERN: succeeds if a line of the application's log after the last mark_log matches.
app_says() {
    # In a pipe, tail would fail because grep exits at the first match.
    grep -qE -- "$1" <(tail -n "+$((log_mark + 1))" "$app_log")
}

mark_log() {
    log_mark=$(wc -l < "$app_log")
}

# Ends the application as a user would. It must remove its devices.
stop_app() {
    local name status=0
    kill -TERM "$app_pid"
    wait_for 30 gone "$app_pid"
    wait "$app_pid" || status=$?
    [ "$status" = 0 ] || fail "vduse-dp ended with status $status"
    for name in $app_names; do
        [ ! -e "/dev/vduse/$name" ] || fail "/dev/vduse/$name is still there"
    done
}

# gone PID: succeeds if the child has ended, reaped or not.
gone() {
    [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

# holds COMMAND EXPRESSION: sends COMMAND to DPDK's telemetry and prints the answer. Succeeds if the
# Python expression is true; the answer is `a` in it.
holds() {
    python3 -B /src/test/vm/lab/ask.py "$@"
}

# telemetry COMMAND EXPRESSION: like holds, but fails the scenario if the expression is false. The
# answers are collected in /out/answers.json.
telemetry() {
    local answer
    answer=$(holds "$@") || fail "$1: not $2: $answer"
    echo "$answer" >> /out/answers.json
}

# told COMMAND EXPRESSION: prints the value of the expression for the answer.
told() {
    python3 -B /src/test/vm/lab/ask.py -v "$@"
}

# in_python MODULE [arguments]: runs a program of test/vm, which prints the reason if it fails. The
# program and its children do not use the CPU on which the application polls, unless python_cpus is
# 0,1.
python_cpus=0
in_python() {
    PYTHONPATH=/src/test/vm taskset -c "$python_cpus" python3 -B -m "$@" || exit
}

# no_complaints [PATTERN]: fails if library or application have logged anything except that drivers
# come and go or are idle for ten seconds, and lines that match PATTERN.
no_complaints() {
    local lines
    lines=$(grep -E '^(VDUSE|vduse-dp):' "$app_log" |
        grep -vE "^vduse-dp: ready|: driver (ready|gone)|the driver (has sent nothing|offers no receive)${1:+|$1}" || true)
    [ -z "$lines" ] || fail "unexpected: $(head -3 <<< "$lines")"
}

# ---- The kernel's side

# use_bus virtio|vhost: loads only that bus driver, because any loaded one may take a new device.
use_bus() {
    case $1 in
    virtio) modprobe -a virtio_net virtio_vdpa ;;
    vhost) modprobe vhost_vdpa ;;
    esac
}

# netdev_of NAME: prints the netdev that virtio_vdpa created for a vDPA device.
netdev_of() {
    local path
    path=$(echo /sys/bus/vdpa/devices/"$1"/virtio*/net/*)
    [ -e "$path" ] && basename "$path"
}

# driver_to_netns NAME [NETNS IP]: moves that netdev into a namespace (default `guest`), sets its
# address and sets it up. Its name is then in `netdev`. The tap stays outside: net_tap looks for it
# in its own namespace.
driver_to_netns() {
    local netns=${2:-guest}
    wait_for 20 netdev_of "$1"
    netdev=$(netdev_of "$1")
    [ -e "/run/netns/$netns" ] || ip netns add "$netns"
    ip link set "$netdev" netns "$netns"
    ip -n "$netns" addr add "${3:-$driver_ip}/24" dev "$netdev"
    ip -n "$netns" link set lo up
    ip -n "$netns" link set "$netdev" up
}

# xdp_on NETNS NETDEV: attaches an XDP program that passes every frame. It uses nsenter because
# pinned programs are not visible in `ip netns exec`.
xdp_on() {
    mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
    [ -e /sys/fs/bpf/pass ] || in_python netdev.xdp_pass /sys/fs/bpf/pass
    nsenter --net="/run/netns/$1" ip link set "$2" xdp pinned /sys/fs/bpf/pass
}

in_netns() {
    ip netns exec guest "$@"
}
in_other() {
    ip netns exec other "$@"
}

# all_answered IP [COMMAND...]: 20 pings, sent with COMMAND (such as in_netns), must all be
# answered. ping waits only two round trips for its last answer, which may be too short on a busy
# machine, so it sends two more.
all_answered() {
    local ip=$1
    shift
    "$@" ping -c 22 -i 0.05 "$ip" > /tmp/answers || true
    [ "$(grep -cE 'icmp_seq=(1?[0-9]|20) .*time=' /tmp/answers)" = 20 ] || fail "pings are lost: $(cat /tmp/answers)"
}

# answered_without_gap FILE: of the pings that FILE shows (written without -q, ended by SIGINT), each
# one was answered up to the last answer. ping counts a request as lost that is on its way when the
# signal comes, so its own percentage says nothing; more than five cannot be on their way.
answered_without_gap() {
    awk -F 'icmp_seq=' '/icmp_seq=.*time=/ { seen[$2 + 0]; if ($2 + 0 > last) last = $2 + 0 }
        / packets transmitted/ { sent = $1 + 0 }
        END {
            for (number = 1; number <= last; number++) if (!(number in seen)) { print "no answer to " number; lost = 1 }
            if (!last || sent - last > 5) { print "sent " sent + 0 ", the last answer is to " last + 0; lost = 1 }
            exit lost
        }' "$1"
}

tap_up() {
    ip addr replace "$tap_ip/24" dev dtap0
    ip link set dtap0 up
}

# listening PORT [COMMAND]: succeeds if a socket listens on PORT, here or in COMMAND's namespace
# (such as in_netns).
listening() {
    ${2:+"$2"} ss -Hltn "sport = :$1" | grep -q .
}

# serve_file PORT FILE and take_file PORT FILE [COMMAND]: send FILE to the first client of the port,
# or store what the client sends. They return when the port is open. The server's pid is server_pid.
serve_file() {
    tcp_server "$1" 'with open(path, "rb") as file: peer.sendfile(file)' "$2"
}

take_file() {
    tcp_server "$1" 'with open(path, "wb") as file:
    while data := peer.recv(65536): file.write(data)' "$2" "${3:-}"
}

# file_both_ways MEGABYTES: sends a file from the tap into the namespace `guest` and back. It stays
# as /tmp/file.
file_both_ways() {
    dd if=/dev/urandom of=/tmp/file bs=1M count="$1" status=none
    serve_file 5000 /tmp/file
    in_netns bash -c "cat < /dev/tcp/$tap_ip/5000" > /tmp/there
    same_file /tmp/file /tmp/there
    take_file 5001 /tmp/back
    in_netns bash -c "cat > /dev/tcp/$tap_ip/5001" < /tmp/there
    wait "$server_pid"
    same_file /tmp/file /tmp/back
}

tcp_server() {
    ${4:+"$4"} python3 -c "import socket, sys
port, path = int(sys.argv[1]), sys.argv[2]
peer = socket.create_server(('', port)).accept()[0]
$2" "$1" "$3" &
    server_pid=$!
    wait_for 20 listening "$1" "${4:-}"
}

# copy_file SENDER RECEIVER IP: sends /tmp/file by TCP to port 5000 of IP, where it must arrive
# unchanged. SENDER and RECEIVER are commands like in_netns, or empty for the tap's side.
copy_file() {
    step "TCP from ${1:-the tap} to ${2:-the tap}"
    rm -f /tmp/there
    take_file 5000 /tmp/there "$2"
    ${1:+"$1"} timeout 60 bash -c "cat /tmp/file > /dev/tcp/$3/5000" || fail "no TCP"
    wait "$server_pid" || fail "the receiver failed"
    same_file /tmp/file /tmp/there
}

# same_file A B
same_file() {
    [ "$(sha256sum < "$1")" = "$(sha256sum < "$2")" ] || fail "$1 and $2 differ"
}

# ---- A guest in QEMU

# shellcheck source=test/vm/lab/guest.sh
source /src/test/vm/lab/guest.sh

# Debian 13's QEMU is 11.1 and Debian 12's 10.0 (both from backports).
qemu=(debian13 qemu-system-x86_64)
guest_log=/out/guest.log
guest_vhost=/dev/vhost-vdpa-0
guest_files=/tmp/guest # .in and .out are its shell's, .qmp is QMP's

# start_guest NETDEV-OPTIONS DEVICE-OPTIONS [QEMU options]: starts a guest on guest_vhost. It
# resumes from the state that was saved when the lab was built, and finds this device now. Returns
# when the guest's driver has found it. guest_pid is QEMU's.
start_guest() {
    start_guest_qemu "$@" -global migration.mapped-ram=on -incoming file:/lab/booted/state
    guest '#' # the serial port may lose what comes before its state
    guest 'echo 1 > /sys/bus/pci/rescan'
}

# Like start_guest, but returns at once, and the caller's options say which state the guest resumes
# from.
start_guest_qemu() {
    local netdev=vhost-vdpa,id=n0,vhostdev=$guest_vhost${1:+,$1}
    local device=virtio-net-pci,netdev=n0,romfile=${2:+,$2}
    shift 2
    rm -f "$guest_files".*
    mkfifo "$guest_files.in" "$guest_files.out"
    guest_machine "$(cat /lab/booted/machine)" /lab/booted
    # The other CPU is the application's, which polls.
    taskset -c "$python_cpus" "${qemu[@]}" "${guest_options[@]}" \
        -chardev "file,id=console,path=$guest_log,append=on" -chardev "pipe,id=shell,path=$guest_files" \
        -qmp "unix:$guest_files.qmp,server=on,wait=off" \
        -netdev "$netdev" -device "$device" "$@" < /dev/null >> /out/qemu.log 2>&1 &
    guest_pid=$!
    exec {guest_in}<> "$guest_files.in" {guest_out}<> "$guest_files.out"
}

# Reads the next line of the guest's shell into `line`. Fails after a second; it keeps a partial
# line for the next call.
guest_part=''
guest_line() {
    local status=0
    read -r -t 1 -u "$guest_out" line || status=$?
    guest_part+=$line
    [ "$status" = 0 ] || return "$status"
    line=$guest_part guest_part=''
}

# Waits for the shell of a guest that boots or reboots.
guest_ready() {
    local line end=$((SECONDS + 800))
    until [ "${line:-}" = '#ready' ]; do
        ! gone "$guest_pid" || fail "QEMU ended: $(tail -3 /out/qemu.log)"
        [ "$SECONDS" -lt "$end" ] || fail "the guest does not boot: $guest_log"
        guest_line || line=''
    done
}

# guest COMMAND: runs a line of shell in the guest, prints its output and returns its status.
# Background commands must not hold the serial port open: `command > /tmp/file 2>&1 &`.
guest() {
    local line end=$((SECONDS + ${guest_limit:-120}))
    echo "$1" >&"$guest_in"
    while [ "$SECONDS" -lt "$end" ]; do
        ! gone "$guest_pid" || fail "QEMU ended during: $1"
        guest_line || continue
        case $line in
        '#status '*) return "${line#* }" ;;
        esac
        echo "$line"
    done
    guest_is_where
    fail "the guest does not answer to: $1"
}

# For a guest that is stuck: prints its CPU's registers three times, and its device's state and
# counters.
guest_is_where() {
    for _ in 1 2 3; do
        in_python qtest.qmp "$guest_files.qmp" human-monitor-command command-line='info registers' | grep -E 'RIP|RSP' || true
        sleep 1
    done
    told /vduse/info,vd0 a || true
    told /vduse/stats,vd0 a || true
}

guest_up() {
    guest "ip addr add $driver_ip/24 dev eth0; ip link set eth0 up" > /dev/null
}

guest_pings() {
    local output
    output=$(guest "ping -c ${1:-5} -i 0.2 -W 5 $tap_ip") || true
    grep -q ' 0% packet loss' <<< "$output" || fail "guest's ping: $output"
}

guest_reboot() {
    echo 'reboot -f' >&"$guest_in"
    guest_ready
}

# The guest's kernel has no ACPI to power off with. It reboots, and QEMU is set to end then.
guest_poweroff() {
    in_python qtest.qmp "$guest_files.qmp" set-action reboot=shutdown
    echo 'reboot -f' >&"$guest_in"
    wait_for 60 gone "$guest_pid"
    wait "$guest_pid" || fail "QEMU ended with status $?"
    exec {guest_in}>&- {guest_out}>&-
}
