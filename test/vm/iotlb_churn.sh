#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# 1,000 changes of an address space under traffic: nothing is written to memory that was unmapped
# time: 400

use_bus vhost
start_app -- --device vd0,attach=vhost --reflect vd0
wait_for 20 test -e /dev/vhost-vdpa-0
in_python vdpa_client.iotlb_churn
no_complaints ': queue [01] not started: it is not mapped' # at the end, nothing is
stop_app
