#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Open vSwitch with DPDK in scenarios, set up as doc/guide-ovs.md says: Debian 12's 3.1, after use_debian13 Debian 13's
# 3.5. Sourced after scenario.sh and testpmd.sh.

ovs_log=$host_root/var/log/openvswitch/ovs-vswitchd.log
logs+=("$ovs_log")

# start_ovs: with DPDK and net_vduse, and without a bridge.
start_ovs() {
    install_driver
    # The VM has no systemd: what Debian's units of Open vSwitch do.
    cat > "$host_root/usr/local/bin/systemctl" << 'END'
#!/bin/bash
exec /usr/share/openvswitch/scripts/ovs-ctl --system-id=random --no-monitor "$1"
END
    chmod +x "$host_root/usr/local/bin/systemctl"
    "${host[@]}" systemctl start openvswitch-switch
    in_guide ovs dpdk
    [ "$(ovs get Open_vSwitch . dpdk_initialized)" = true ] || fail "OVS has no DPDK: $(tail -5 "$ovs_log")"
}

# ovs WORDS...: ovs-vsctl, which fails when a port does.
ovs() {
    "${host[@]}" ovs-vsctl --timeout=60 "$@"
}

# shows INTERFACE COLUMN[:KEY] PATTERN: fails unless OVS's database has that within some seconds.
shows() {
    wait_for 20 ovs_matches "$@"
}

ovs_matches() {
    ovs --if-exists get interface "$1" "$2" | grep -qE -- "$3"
}

# driver_is_content: fails if DPDK, and so the driver, has complained in OVS's log since the last mark_ovs.
mark_ovs() {
    ovs_mark=$(wc -l < "$ovs_log")
}
driver_is_content() {
    local lines
    lines=$(tail -n "+$((${ovs_mark:-0} + 1))" "$ovs_log" | grep -E '\|dpdk(\([^|]*\))?\|(WARN|ERR|EMER)\|' || true)
    [ -z "$lines" ] || fail "DPDK says: $(head -5 <<< "$lines")"
}
