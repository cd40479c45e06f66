# SPDX-License-Identifier: BSD-3-Clause
"""Boots a guest until its shell is ready, and saves it as a file that `-incoming` takes.

COMMAND starts QEMU with the shell on its standard output and QMP at the socket QMP; STATE is a path for QEMU.

usage: python3 save_guest.py QMP STATE COMMAND...
"""

import subprocess
import sys

from qtest.qmp import Qmp
from qtest.wait import Failure, expect, run_program, until


def main():
    path, state, *command = sys.argv[1:]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as qemu:
        if not any(line.strip() == "#ready" for line in qemu.stdout):
            raise Failure("the guest does not boot")
        qmp = Qmp(path)
        # Pages of zeros are not read back: to touch them all would take an emulated QEMU a minute.
        qmp.command("migrate-set-capabilities", capabilities=[{"capability": "mapped-ram", "state": True}])
        qmp.command("migrate", uri=f"file:{state}")
        expect("how saving the guest ended", until("its end", qmp.migration_ended)["status"], "completed")
        qmp.command("quit")


if __name__ == "__main__":
    run_program(main)
