#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The kernel's driver adds and deletes VLANs: only frames of added VLANs arrive, untagged frames always
# time: 300

use_bus virtio
modprobe 8021q
start_app --vdev=net_tap0,iface=dtap0 -- \
    --device vd0,attach=virtio --port net_tap0 --patch vd0:net_tap0
ip link set dtap0 up
driver_to_netns vd0
in_python netdev.vlan_filter "$netdev"
no_complaints
stop_app
