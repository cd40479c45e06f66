// SPDX-License-Identifier: BSD-3-Clause

// What a burst must know besides its ring: plain values, which do not change during a burst.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "net/filter.h"
#include "vduse/large_buffers.h"
#include "vduse/offload.h"

namespace vduse::net {

/// The negotiated features of a data queue, and the filter of its device.
struct QueueRules {
    uint32_t longest;  ///< the longest legal frame
    bool mergeable;    ///< VIRTIO_NET_F_MRG_RXBUF was negotiated
    const Filter* filter;
    /// To the guest: offloads that were negotiated and are not switched off. From the guest: the
    /// negotiated offloads of that direction.
    Offloads offloads = {};
};

struct FromGuestRules {
    uint32_t longest;  ///< the longest legal frame
    /// A frame that does not fit into one mbuf is dropped, unless it is a TSO frame.
    bool linear = false;
    uint16_t port = RTE_MBUF_PORT_INVALID;  ///< of the mbufs
    Offloads offloads = {};                 ///< negotiated
    /// For frames that do not fit into one mbuf. If set, `linear` is ignored.
    LargeBuffers* large_buffers = nullptr;
};

}  // namespace vduse::net
