# SPDX-License-Identifier: BSD-3-Clause
"""Compares the rates of two contenders that were measured in turns, and the ratio in each turn.

usage: pair_table.py FILE OURS OTHER

FILE has lines `NAME FRAME DIRECTION RATE`, in the order of measuring.
"""

import statistics
import sys


def spread(values, unit):
    """Returns the median, least and most as text."""
    return (f"{statistics.median(values) / unit:7.2f}"
            f" ({min(values) / unit:.2f} to {max(values) / unit:.2f})")


def main():
    path, ours, other = sys.argv[1:]
    rates = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            name, frame, direction, rate = line.split()
            rates.setdefault((frame, direction), {}).setdefault(name, []).append(int(rate))
    print(f"{'million frames a second: median (least to most)':<50}  ratio")
    print(f"{'frame':<6}{'direction':<12}{ours:<27}{other:<27}{ours} / {other}")
    for (frame, direction), of in rates.items():
        ratios = [a / b for a, b in zip(of[ours], of[other])]
        print(f"{frame:<6}{direction:<12}{spread(of[ours], 1e6):<27}{spread(of[other], 1e6):<27}"
              f"{spread(ratios, 1)}")


if __name__ == "__main__":
    main()
