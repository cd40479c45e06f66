# SPDX-License-Identifier: BSD-3-Clause
"""Adds and deletes VLANs through the control queue; only tagged frames of added VLANs pass."""

import sys

from qtest.wait import run_program

from .probe import Probe, run


def main():
    probe = Probe(sys.argv[1])
    probe.wait_for("promiscuous mode off", lambda info: info["promiscuous"] == "no")
    untagged, in_5, in_6 = [(probe.mac, vlan) for vlan in (None, 5, 6)]
    frames = [untagged, in_5, in_6]

    probe.check("no VLAN", frames, [untagged])
    run(f"ip link add link {probe.netdev} name v5 type vlan id 5")
    probe.check("VLAN 5", frames, [untagged, in_5])
    run(f"ip link add link {probe.netdev} name v6 type vlan id 6")
    probe.check("VLANs 5 and 6", frames, frames)
    run("ip link del v5")
    probe.check("VLAN 6", frames, [untagged, in_6])
    run("ip link del v6")
    probe.check("no VLAN again", frames, [untagged])


if __name__ == "__main__":
    run_program(main)
