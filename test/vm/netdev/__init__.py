# SPDX-License-Identifier: BSD-3-Clause
"""Tests with the kernel's own driver and its netdevs: the receive filter, and kills under traffic.

Run the filter's tests as `python3 -m netdev.vlan_filter` or `netdev.rx_modes` from the folder
above, as root. A device `vd0` must be patched to the tap `dtap0`, and its netdev must be in the
network namespace `guest`.
"""
