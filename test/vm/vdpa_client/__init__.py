# SPDX-License-Identifier: BSD-3-Clause
"""A driver of a vhost-vdpa device in Python, for actions that QEMU and DPDK's driver never take.

    vhost.py   the character device: ioctls, address spaces
    memory.py  shared memory, the only kind that a VDUSE device can access
    ring.py    a split ring with fixed entries
    net.py     the network device: negotiation, queues, control commands

iotlb_churn.py, per_pair_groups.py and neighbour.py are the programs of the scenarios with the same
names.
"""
