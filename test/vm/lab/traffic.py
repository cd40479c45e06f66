# SPDX-License-Identifier: BSD-3-Clause
"""Waits until FRAMES more frames have passed a device each way, and prints their rate.

usage: traffic.py DEVICE FRAMES
"""

import sys
import time

from qtest.wait import run_program, until

from .ask import ask


def frames(device):
    """Returns the frame count of the direction that has fewer."""
    stats = ask(f"/vduse/stats,{device}")
    return min(stats[direction]["frames"] for direction in ("from_guest", "to_guest"))


def main():
    device, wanted = sys.argv[1], int(sys.argv[2])
    first, begin = frames(device), time.monotonic()
    until(f"{wanted} more frames through {device}", lambda: frames(device) >= first + wanted, 30,
          lambda: f"{frames(device) - first} of them")
    seconds = time.monotonic() - begin
    count = frames(device) - first
    print(f"{device}: {count} frames in {seconds:.2f} s: {count / seconds:.0f} a second each way")


if __name__ == "__main__":
    run_program(main)
