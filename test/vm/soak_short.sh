#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# 500 devices are created, attached, opened, detached and destroyed in one process: nothing is left behind
# time: 500

use_bus vhost
/build/test/soak "${app_eal[@]}" -- 500 || exit
[ -z "$(find /dev/vduse -name 'soak*')" ] || fail "devices stay: $(ls /dev/vduse)"
