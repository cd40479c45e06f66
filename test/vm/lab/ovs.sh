#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Open vSwitch with DPDK in scenarios, set up as doc/guide-ovs.md describes: Debian 12's 3.1, or
# Debian 13's 3.5 after use_debian13. Sourced after scenario.sh and testpmd.sh.

ovs_log=$host_root/var/log/openvswitch/ovs-vswitchd.log
logs+=("$ovs_log")

# start_ovs: starts it with DPDK and net_vduse, and without a bridge.
start_ovs() {
    install_driver
    # The VM has no systemd. This does the same as Debian's units of Open vSwitch.
    cat > "$host_root/usr/local/bin/systemctl" << 'END'
#!/bin/bash
exec /usr/share/openvswitch/scripts/ovs-ctl --system-id=random --no-monitor "$1"
END
    chmod +x "$host_root/usr/local/bin/systemctl"
    "${host[@]}" systemctl start openvswitch-switch
    in_guide ovs dpdk
    [ "$(ovs get Open_vSwitch . dpdk_initialized)" = true ] || fail "OVS has no DPDK: $(tail -5 "$ovs_log")"
}

# ovs WORDS...: runs ovs-vsctl, which fails if a port cannot be added.
ovs() {
    "${host[@]}" ovs-vsctl --timeout=60 "$@"
}

# shows INTERFACE COLUMN[:KEY] PATTERN: fails unless the value in OVS's database matches within 20
# seconds.
shows() {
    wait_for 20 ovs_matches "$@"
}

ovs_matches() {
    ovs --if-exists get interface "$1" "$2" | grep -qE -- "$3"
}

# driver_is_content: fails if DPDK (and so the PMD) has logged a warning or error in OVS's log since
# the last mark_ovs.
mark_ovs() {
    ovs_mark=$(wc -l < "$ovs_log")
}
driver_is_content() {
    local lines
    lines=$(tail -n "+$((${ovs_mark:-0} + 1))" "$ovs_log" | grep -E '\|dpdk(\([^|]*\))?\|(WARN|ERR|EMER)\|' || true)
    [ -z "$lines" ] || fail "DPDK says: $(head -5 <<< "$lines")"
}
