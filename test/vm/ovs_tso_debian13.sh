#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# ovs_tso with Debian 13's Open vSwitch 3.5 and DPDK 24.11: TCP with userspace-tso-enable, large frames both ways
# needs: build=debian13
# time: 700

use_debian13
# shellcheck source=test/vm/ovs_tso.sh
source /src/test/vm/ovs_tso.sh
