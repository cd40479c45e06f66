# SPDX-License-Identifier: BSD-3-Clause
"""A virtio-net driver and a QEMU without a guest, for tests of a vhost-vdpa device through QEMU.

isolated_cvq.py is the test; run it as `python3 -m qtest.isolated_cvq` from the folder above.
"""
