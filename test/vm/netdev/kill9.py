# SPDX-License-Identifier: BSD-3-Clause
"""Kills vduse-dp with SIGKILL repeatedly under full traffic between two netdevs.

The next process must adopt the devices. Most kills come at random times while frames flow, one in
five while vduse-dp is starting. vduse-dp holds at most one burst, of one direction: that many
frames may be lost with it. No frame arrives twice or late: a chain is returned before its frame is
forwarded, and a chain that was not returned is still in the ring.

usage: kill9.py KILLS LOG NETDEV@NAMESPACE NETDEV@NAMESPACE -- VDUSE-DP...

vduse-dp's output goes to LOG. No vduse-dp may run before; none runs afterwards.
"""

import random
import statistics
import sys
import time

from lab.life import Life
from qtest.wait import Failure, expect, run_program

from .numbered import Numbered

WINDOW = 256  # frames under way each way: fewer than a ring has room for, so that none is dropped
BURST = 32  # kBurst of app/datapath/switch.cc


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def table(rows):
    print(f"{'':28}{'p50':>8}{'p99':>8}{'most':>8}")
    for name, values in rows.items():
        print(f"{name:28}{statistics.median(values):8.0f}{percentile(values, 99):8.0f}"
              f"{max(values):8.0f}", flush=True)


def main():
    kills, log, first, second = int(sys.argv[1]), *sys.argv[2:5]
    command = sys.argv[6:]
    rows = {"EAL, ms": [], "devices, ms": [], "pause of the traffic, ms": [],
            "frames lost for each kill": []}
    frames = lost = in_start = pending = 0
    numbered, until_kill, start_time = None, None, 1.0
    random.seed(kills)
    for number in range(kills + 1):
        begin = time.monotonic()
        life = Life(command, log)
        numbered = numbered or Numbered(WINDOW, first, second)
        if number % 5 == 4 and number < kills:
            time.sleep(random.uniform(0, 1.1 * start_time))
            life.kill()
            in_start += 1
            pending += 1
            continue
        times = life.ready()
        start_time = time.monotonic() - begin
        # By then, frames that were under way at the last kill have arrived or are lost.
        books = numbered.flows(2 * WINDOW, until_kill)
        life.went_on(2)
        missing = sum(one.missing for one in books)
        frames += sum(one.frames for one in books)
        lost += missing
        if number:
            rows["EAL, ms"].append(times[0])
            rows["devices, ms"].append(times[1])
            rows["frames lost for each kill"].append(missing / max(1, pending))
            if pending == 1:
                rows["pause of the traffic, ms"].append(1000 * max(one.pause for one in books))
        if missing > BURST * pending:
            raise Failure(f"kill {number}: {missing} frames are lost, {pending} kills may lose "
                          f"{BURST} each: {books}")
        expect(f"kill {number}: frames that came twice, late and damaged",
               [(one.repeated, one.late, one.damaged) for one in books], [(0, 0, 0)] * 2)
        pending = 0
        if number < kills:
            time.sleep(random.uniform(0, 0.2))
            life.kill()
            pending = 1
            until_kill = numbered.report()
    expect("after the last kill: missing, repeated, late, damaged",
           [one[1:5] for one in numbered.flows(2000)], [(0, 0, 0, 0)] * 2)
    expect("at the end: missing, repeated, late, damaged",
           [one[1:5] for one in numbered.stop()], [(0, 0, 0, 0)] * 2)
    life.kill()
    print(f"{kills} kills, {in_start} of them while starting: {frames} frames in between, {lost} lost, "
          "none twice, late or damaged")
    table(rows)


if __name__ == "__main__":
    run_program(main)
