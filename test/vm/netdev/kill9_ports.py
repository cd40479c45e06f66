# SPDX-License-Identifier: BSD-3-Clause
"""Kills a program with two net_vduse ports repeatedly, under full traffic between their netdevs.

usage: kill9_ports.py KILLS MAY_LOSE WINDOW NETDEV@NAMESPACE NETDEV@NAMESPACE -- COMMAND...

COMMAND kills the program and starts it again. For each kill MAY_LOSE frames may be lost, and none
may arrive twice or late. WINDOW frames are under way each way.
"""

import subprocess
import sys
import time

from qtest.wait import Failure, expect, run_program

from .numbered import Numbered


def main():
    kills, may_lose, window = (int(word) for word in sys.argv[1:4])
    numbered = Numbered(window, *sys.argv[4:6])
    numbered.flows(4 * window)
    all_lost, frames = 0, 0
    for number in range(kills):
        begin = time.monotonic()
        subprocess.run(sys.argv[7:], check=True)
        books = numbered.flows(4 * window, numbered.report())
        lost = sum(one.missing for one in books)
        print(f"kill {number}: {lost} frames are lost, pause of {max(one.pause for one in books):.1f} s, "
              f"{time.monotonic() - begin:.1f} s in all", flush=True)
        if lost > may_lose:
            raise Failure(f"more than {may_lose} frames are lost: {books}")
        expect("frames that came twice, late and damaged",
               [(one.repeated, one.late, one.damaged) for one in books], [(0, 0, 0)] * 2)
        all_lost += lost
        frames += sum(one.frames for one in books)
    expect("after the last kill: missing, repeated, late, damaged",
           [one[1:5] for one in numbered.flows(2000)], [(0, 0, 0, 0)] * 2)
    expect("at the end: missing, repeated, late, damaged",
           [one[1:5] for one in numbered.stop()], [(0, 0, 0, 0)] * 2)
    print(f"{kills} kills: {frames} frames, {all_lost} lost, none twice, late or damaged")


if __name__ == "__main__":
    run_program(main)
