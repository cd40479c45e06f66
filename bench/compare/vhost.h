// SPDX-License-Identifier: BSD-3-Clause

// The other side: rte_vhost, through its public API.
//
// It is registered as under VDUSE and net_vhost: statistics on (VDUSE cannot turn them off),
// compliant offload flags. rte_vhost does not free the frames that it has sent, its callers do, so
// the free is part of `to_guest` here, as in net_vhost.
#pragma once

#include <rte_vhost.h>

#include <memory>
#include <string>

#include "bench/compare/side.h"
#include "bench/compare/vhost_user.h"

namespace vduse::bench {

class Vhost final : public Side {
  public:
    Vhost(const Ram& ram, AddressPair rings, bool offloads);
    ~Vhost() override;

    uint16_t from_guest(rte_mempool* pool, std::span<rte_mbuf*> frames) noexcept override {
        return rte_vhost_dequeue_burst(
            vid_, 1, pool, frames.data(), static_cast<uint16_t>(frames.size())
        );
    }
    uint16_t to_guest(std::span<rte_mbuf*> frames) noexcept override {
        const uint16_t count =
            rte_vhost_enqueue_burst(vid_, 0, frames.data(), static_cast<uint16_t>(frames.size()));
        rte_pktmbuf_free_bulk(frames.data(), count);
        return count;
    }
    /// rte_vhost only knows the tx flags.
    void say(rte_mbuf& frame) noexcept override {
        frame.ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
        frame.ol_flags |= frame.tso_segsz != 0 ? RTE_MBUF_F_TX_TCP_SEG : uint64_t{0};
    }
    void check() override { require(front_end_->misses() == 0, "rte_vhost missed an address"); }

  private:
    std::string folder_;
    std::string path_;
    std::unique_ptr<VhostUser> front_end_;
    int vid_ = -1;
};

}  // namespace vduse::bench
