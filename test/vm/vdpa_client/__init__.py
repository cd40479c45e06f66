# SPDX-License-Identifier: BSD-3-Clause
"""A driver of a vhost-vdpa device in Python, for what QEMU and DPDK's driver never do.

    vhost.py   the character device: ioctls, address spaces
    memory.py  shared memory, the one kind that a VDUSE device can see
    ring.py    a split ring whose entries stay where they are
    net.py     the network device: negotiation, queues, control commands

The programs are those of the scenarios with the same names: iotlb_churn.py, per_pair_groups.py,
neighbour.py.
"""
