#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# QEMU stops, saves and loads a machine ten times under traffic: positions are exact, its memory is not touched
# time: 600

use_bus vhost
# A bridge, because a patch would take the tap's link down with the driver.
start_app --vdev=net_tap0,iface=dtap0 -- --idle-us 1000 --device vd0,queues=2,attach=vhost --port net_tap0 --bridge vd0,net_tap0
tap_up
python_cpus=0,1
in_python qtest.suspend dtap0 10 "${qemu[@]}"
no_complaints
stop_app
