#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Promiscuous and allmulti mode, unicast and multicast tables, a changed address: which frames arrive with each
# time: 300

use_bus virtio
start_app --vdev=net_tap0,iface=dtap0 -- \
    --device vd0,attach=virtio --port net_tap0 --patch vd0:net_tap0
ip link set dtap0 up
driver_to_netns vd0
in_python netdev.rx_modes "$netdev"
no_complaints
stop_app
