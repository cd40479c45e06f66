# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the receive filter through the kernel's own driver: what arrives at its netdev.

Run as `python3 -m netdev.vlan_filter` or `netdev.rx_modes` from the folder above, as root, when a
device `vd0` is patched to the tap `dtap0` and its netdev is in the network namespace `guest`.
"""
