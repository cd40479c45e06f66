# SPDX-License-Identifier: BSD-3-Clause
"""Sets and resets each receive mode and table of the driver, and checks which frames pass."""

import sys

from qtest.wait import run_program

from .probe import BROADCAST, Probe, run

UNICAST = bytes.fromhex("020000000099")
MULTICAST, OTHER_MULTICAST = bytes.fromhex("333300000099"), bytes.fromhex("333300000098")
# Linux adds a few multicast addresses to the table itself.


def main():
    probe = Probe(sys.argv[1])
    own, unicast, multicast, other, everyone = frames = [
        (mac, None) for mac in (probe.mac, UNICAST, MULTICAST, OTHER_MULTICAST, BROADCAST)]
    usual = [own, everyone]
    device = f"dev {probe.netdev}"
    probe.wait_for("promiscuous mode off", lambda info: info["promiscuous"] == "no")
    probe.check("as Linux starts it", frames, usual)

    def mode(what, switch_on, switch_off, is_on, wanted):
        """Switches a mode on, checks that the frames `wanted` arrive, and switches it off again."""
        run(switch_on)
        probe.wait_for(f"{what}", is_on)
        probe.check(what, frames, wanted)
        run(switch_off)
        probe.wait_for(f"no {what}", lambda info: not is_on(info))
        probe.check(f"no {what}", frames, usual)

    listed = {kind: 0 for kind in ("unicast", "multicast")}
    probe.wait_for("tables", lambda info: listed.update(
        {kind: info[kind] for kind in listed}) or True)
    mode("a unicast address in the table",
         f"bridge fdb add {UNICAST.hex(':')} {device} self permanent",
         f"bridge fdb del {UNICAST.hex(':')} {device} self permanent",
         lambda info: info["unicast"] == listed["unicast"] + 1, [own, unicast, everyone])
    mode("a multicast address in the table",
         f"ip maddr add {MULTICAST.hex(':')} {device}",
         f"ip maddr del {MULTICAST.hex(':')} {device}",
         lambda info: info["multicast"] == listed["multicast"] + 1, [own, multicast, everyone])
    mode("allmulti", f"ip link set {device} allmulticast on", f"ip link set {device} allmulticast off",
         lambda info: info["all_multicast"] == "yes", [own, multicast, other, everyone])
    mode("promisc", f"ip link set {device} promisc on", f"ip link set {device} promisc off",
         lambda info: info["promiscuous"] == "yes", frames)

    new = bytes.fromhex("0200000000aa")
    run(f"ip link set {device} address {new.hex(':')}")
    probe.wait_for("another address", lambda info: info["mac"] == new.hex(":"))
    probe.check("another address", [own, (new, None)], [(new, None)])


if __name__ == "__main__":
    run_program(main)
