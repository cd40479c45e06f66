// SPDX-License-Identifier: BSD-3-Clause

// Parses the arguments after a port's name in --vdev, in EAL's hotplug and in OVS's dpdk-devargs,
// into a checked struct.
//
//     net_vduse0,iface=vd0,queues=2,attach=virtio,netdev=eth7,netns=blue
//
// A pure function, except for `owner`, which looks up users and groups of the host. It does not
// depend on EAL's devices or VDUSE. Errors are one line of text that names the key or the value and
// what would be valid; their code is EINVAL. Called once by probe, and by
// test/unit/pmd/devargs_test.cc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vduse/bus.h"
#include "vduse/device.h"
#include "vduse/result.h"

namespace vduse::pmd {

struct DevArgs {
    DeviceConfig config;
    std::optional<uint16_t> mtu;  ///< as given; none: no MTU is offered to the guest driver
    bool linear = false;          ///< no chained mbufs: frames that do not fit one mbuf are dropped
    bool ext_buffer = false;      ///< frames that do not fit one mbuf come in an external buffer
    bool leave_sums = false;      ///< with rx checksum offload, frames come without checksums
    bool always_large = false;    ///< large frames also go to applications that did not enable LRO
    bool legacy_flags = false;    ///< received frames have Tx-style flags
    std::string netdev;           ///< new name of virtio_vdpa's netdev; "": unchanged
    std::string netns;            ///< network namespace for it, a name or a path; "": unchanged
    // Owner and group of /dev/vduse/NAME; none: unchanged.
    std::optional<uid_t> owner;
    std::optional<gid_t> group;
    std::optional<mode_t> mode;
    std::vector<std::string> ignored;  ///< keys of net_vhost that were given and have no effect
};

/// `name`: of the vdev. `args`: the text after its first comma, may be nullptr or empty.
Result<DevArgs> parse_devargs(const char* name, const char* args);

/// What dpdk-pmdinfo.py shows. A macro, because driver.cc builds a string literal with it.
// NOLINTNEXTLINE(cppcoreguidelines-macro-usage)
#define VDUSE_PMD_PARAMS            \
    "iface=<NAME|/dev/vduse/NAME> " \
    "queues=<1-128> "               \
    "queue_size=<2-32768> "         \
    "bounce=<1M-1G> "               \
    "mac=<xx:xx:xx:xx:xx:xx> "      \
    "mtu=<68-9702> "                \
    "speed=<Mbit/s> "               \
    "duplex=<full|half> "           \
    "csum=<0|1> "                   \
    "tso=<0|1> "                    \
    "mrg_rxbuf=<0|1> "              \
    "indirect=<0|1> "               \
    "event_idx=<0|1> "              \
    "linear-buffer=<0|1> "          \
    "ext-buffer=<0|1> "             \
    "legacy-ol-flags=<0|1> "        \
    "ctrl_vq=<auto|on|off> "        \
    "groups=<together|per-pair> "   \
    "as=<1-129> "                   \
    "persist=<0|1> "                \
    "attach=<none|virtio|vhost> "   \
    "netdev=<name> "                \
    "netns=<name|path> "            \
    "owner=<user[:group]> "         \
    "mode=<octal>"

}  // namespace vduse::pmd
