// SPDX-License-Identifier: BSD-3-Clause

// The floor: the work that no device can avoid. It knows in advance where every buffer is and what
// is in it, and its mbufs are allocated in advance. Only the copies and the stores to the used ring
// are left.
#pragma once

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "bench/compare/side.h"

namespace vduse::bench {

class Floor final : public Side {
  public:
    Floor(AddressPair rings, rte_mempool* pool) : Side(rings), mbufs_(kRingSize) {
        require(
            rte_pktmbuf_alloc_bulk(pool, mbufs_.data(), kRingSize) == 0, "no mbufs for the floor"
        );
    }
    ~Floor() override { rte_pktmbuf_free_bulk(mbufs_.data(), kRingSize); }

    /// Sets the frame that all frames are like.
    void expect(const Frame& frame) noexcept { frame_ = &frame; }

    /// Each buffer has an mbuf. A frame is a chain of the mbufs of its buffers.
    uint16_t from_guest(rte_mempool* /*pool*/, std::span<rte_mbuf*> frames) noexcept override {
        for (rte_mbuf*& frame : frames) {
            const uint16_t head = from_desc_;
            rte_mbuf* last = nullptr;
            frame_->for_each_buffer([&](uint32_t at, uint32_t /*from*/, uint32_t bytes) {
                rte_mbuf* const mbuf = mbufs_[from_desc_ % kRingSize];
                const std::byte* const buffer = from_guest_driver.buffer(from_desc_++).host;
                std::memcpy(rte_pktmbuf_mtod(mbuf, void*), buffer + at, bytes);
                mbuf->data_len = static_cast<uint16_t>(bytes);
                if (last != nullptr)
                    last->next = mbuf;
                last = mbuf;
            });
            frame = mbufs_[head % kRingSize];
            frame->pkt_len = frame_->bytes();
            frame->nb_segs = frame_->buffers();
            use(from_guest_driver, next_from_, head, 0);
        }
        publish(from_guest_driver, next_from_);
        return static_cast<uint16_t>(frames.size());
    }
    uint16_t to_guest(std::span<rte_mbuf*> frames) noexcept override {
        for (const rte_mbuf* frame : frames) {
            const net::NetHeader header = frame_->header(frame_->buffers());
            std::memcpy(to_guest_driver.buffer(next_to_).host, &header, sizeof header);
            const rte_mbuf* mbuf = frame;
            uint32_t done = 0;
            frame_->for_each_buffer([&](uint32_t at, uint32_t /*from*/, uint32_t bytes) {
                std::byte* const buffer = to_guest_driver.buffer(next_to_).host;
                const uint32_t end = at + bytes;
                while (at != end) {
                    const uint32_t run = std::min<uint32_t>(end - at, mbuf->data_len - done);
                    std::memcpy(buffer + at, rte_pktmbuf_mtod_offset(mbuf, const void*, done), run);
                    at += run;
                    done += run;
                    if (done == mbuf->data_len && mbuf->next != nullptr) {
                        mbuf = mbuf->next;
                        done = 0;
                    }
                }
                use(to_guest_driver, next_to_, next_to_, end);
            });
        }
        publish(to_guest_driver, next_to_);
        return static_cast<uint16_t>(frames.size());
    }
    void free_received(std::span<rte_mbuf*> frames) noexcept override {
        for (rte_mbuf* mbuf : frames)
            while (mbuf != nullptr) {
                mbuf->nb_segs = 1;
                mbuf = std::exchange(mbuf->next, nullptr);
            }
    }
    void free_sent(std::span<rte_mbuf*> frames) noexcept override {
        rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
    }

  private:
    static void use(
        const Driver& driver, uint16_t& next, uint16_t descriptor, uint32_t length
    ) noexcept {
        const uint32_t slot = next++ % kRingSize;
        const ring::UsedElement element{descriptor % kRingSize, length};
        std::memcpy(
            driver.used() + ring::kRingOffset + sizeof element * slot, &element, sizeof element
        );
    }
    static void publish(const Driver& driver, uint16_t next) noexcept {
        std::atomic_ref(*reinterpret_cast<uint16_t*>(driver.used() + ring::kIdxOffset))
            .store(next, std::memory_order_release);
    }

    std::vector<rte_mbuf*> mbufs_;
    const Frame* frame_ = nullptr;
    uint16_t from_desc_ = 0;
    uint16_t next_from_ = 0;
    uint16_t next_to_ = 0;
};

}  // namespace vduse::bench
