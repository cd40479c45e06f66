// SPDX-License-Identifier: BSD-3-Clause

#include "mtu.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "log.h"
#include "port.h"
#include "vduse/limits.h"

namespace vduse::pmd {
namespace {

/// The smallest data room of the mbufs that frames are received into.
struct Room {
    uint32_t bytes = UINT32_MAX;
    uint16_t queue = 0;
};

Room least_room(const rte_eth_dev_data& data) {
    Room least;
    for (uint16_t i = 0; i < data.nb_rx_queues; ++i) {
        const auto& queue = *static_cast<const RxQueue*>(data.rx_queues[i]);
        const uint32_t whole = rte_pktmbuf_data_room_size(queue.pool);
        const uint32_t bytes = whole - std::min<uint32_t>(whole, RTE_PKTMBUF_HEADROOM);
        if (bytes < least.bytes)
            least = {bytes, i};
    }
    return least;
}

}  // namespace

Result<void> check_mtu(const rte_eth_dev* dev, uint16_t mtu) {
    const Port& port = port_of(dev);
    const uint32_t longest = max_frame(mtu);
    const Room room = least_room(*dev->data);
    const bool fits = longest <= room.bytes;
    if (!fits && !port.linear() && !port.scatter && !port.large_buffers)
        return Error{
            EINVAL,
            "at MTU " + std::to_string(mtu) + " frames have up to " + std::to_string(longest) +
                " bytes, and mbufs of rx queue " + std::to_string(room.queue) + " have room for " +
                std::to_string(room.bytes) +
                ": use larger mbufs, the rx offload scatter, or a smaller MTU"};
    if (!fits && port.linear())
        log(Topic::driver,
            Severity::warning,
            "%s: linear-buffer=1 at MTU %u: frames longer than %u bytes are dropped",
            port.name().c_str(),
            mtu,
            room.bytes);
    if (const auto told = port.guest_mtu(); told && *told > mtu)
        log(Topic::driver,
            Severity::warning,
            "%s: the guest is told mtu=%u, and the port's MTU is %u: longer frames are dropped",
            port.name().c_str(),
            *told,
            mtu);
    return {};
}

}  // namespace vduse::pmd
