# SPDX-License-Identifier: BSD-3-Clause
"""Regions of an address space: (first IOVA, last IOVA, permissions such as "rw" or "r-").

The kernel reports one region for each mapping of QEMU's memory. QEMU traces one for each of its
memory sections. So the borders on either side are meaningless: `merge` removes them before the
comparison.
"""


def merge(regions):
    """Returns the regions sorted, with adjacent ones of equal permissions joined."""
    merged = []
    for first, last, perm in sorted(regions):
        if merged and merged[-1][1] + 1 == first and merged[-1][2] == perm:
            merged[-1] = (merged[-1][0], last, perm)
        else:
            merged.append((first, last, perm))
    return merged


def overlapping(regions, first, last):
    """Returns the regions that overlap [first, last]."""
    return [r for r in regions if r[0] <= last and r[1] >= first]


def text(regions):
    return ", ".join(f"{first:#x}-{last:#x} {perm}" for first, last, perm in regions) or "none"
