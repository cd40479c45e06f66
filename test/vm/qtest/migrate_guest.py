# SPDX-License-Identifier: BSD-3-Clause
"""Migrates a guest from one QEMU to another, and prints its downtime.

The destination must wait with `-incoming defer`. The DEVICEs are the QEMUs' devices of a running
vduse-dp.

usage: python3 -m qtest.migrate_guest QMP DEVICE TO-QMP TO-DEVICE
"""

import sys

from .device import Device
from .migration import Pause
from .qmp import Qmp
from .wait import expect, run_program, until

DOWNTIME_LIMIT = 1000  # ms: the guest writes faster than an emulated QEMU sends


def main():
    here, there = (Qmp(path) for path in sys.argv[1::2])
    source, target = (Device(name) for name in sys.argv[2::2])
    for qmp in (here, there):
        qmp.command("migrate-set-capabilities",
                    capabilities=[{"capability": "return-path", "state": True},
                                  {"capability": "mapped-ram", "state": False}])
    expect("what keeps QEMU from migrating",
           here.command("query-migrate").get("blocked-reasons"), None)
    uri = f"unix:{sys.argv[3]}.incoming"
    there.command("migrate-incoming", uri=uri)
    here.command("migrate-set-parameters", **{"downtime-limit": DOWNTIME_LIMIT})
    here.command("migrate", uri=uri)
    answer = until("the end of the migration", here.migration_ended, 300,
                   lambda: here.command("query-migrate"))
    expect("how the migration ended", answer["status"], "completed")
    there.wait_event("RESUME")
    until("the destination's queues", lambda: target.queue(0)["running"] == "yes")
    print(f"downtime {answer['downtime']} ms by QEMU, migration {answer['total-time']} ms; "
          f"{Pause(source, target).text()}", flush=True)
    here.command("quit")


if __name__ == "__main__":
    run_program(main)
