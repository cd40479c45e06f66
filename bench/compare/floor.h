// The floor: what any device must do. It knows beforehand where every buffer is and what is in it,
// so that only the copies and the stores to the used ring are left; its mbufs were made before.
#pragma once

#include <atomic>
#include <vector>

#include "bench/compare/side.h"

namespace vduse::bench {

class Floor final : public Side {
  public:
    Floor(AddressPair rings, rte_mempool* pool, uint16_t window) : Side(rings), mbufs_(window) {
        require(rte_pktmbuf_alloc_bulk(pool, mbufs_.data(), window) == 0, "no mbufs for the floor");
    }
    ~Floor() override {
        rte_pktmbuf_free_bulk(mbufs_.data(), static_cast<unsigned>(mbufs_.size()));
    }

    /// The length of every frame.
    void expect(uint32_t frame_bytes) noexcept { bytes_ = frame_bytes; }

    uint16_t from_guest(rte_mempool* /*pool*/, std::span<rte_mbuf*> frames) noexcept override {
        for (rte_mbuf*& frame : frames) {
            const std::byte* buffer = from_guest_driver.buffer(next_from_).host;
            frame = mbufs_[next_from_ % mbufs_.size()];
            std::memcpy(rte_pktmbuf_mtod(frame, void*), buffer + net::kHeaderBytes, bytes_);
            frame->pkt_len = bytes_;
            frame->data_len = static_cast<uint16_t>(bytes_);
            use(from_guest_driver, next_from_, 0);
        }
        publish(from_guest_driver, next_from_);
        return static_cast<uint16_t>(frames.size());
    }
    uint16_t to_guest(std::span<rte_mbuf*> frames) noexcept override {
        for (const rte_mbuf* frame : frames) {
            std::byte* buffer = to_guest_driver.buffer(next_to_).host;
            net::NetHeader header{};
            header.num_buffers = 1;
            std::memcpy(buffer, &header, sizeof header);
            std::memcpy(buffer + sizeof header, rte_pktmbuf_mtod(frame, const void*), bytes_);
            use(to_guest_driver, next_to_, net::kHeaderBytes + bytes_);
        }
        publish(to_guest_driver, next_to_);
        return static_cast<uint16_t>(frames.size());
    }
    void free_received(std::span<rte_mbuf*> /*frames*/) noexcept override {}
    void free_sent(std::span<rte_mbuf*> frames) noexcept override {
        rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
    }

  private:
    static void use(const Driver& driver, uint16_t& next, uint32_t length) noexcept {
        const uint32_t slot = next++ % kRingSize;
        const ring::UsedElement element{slot, length};
        std::memcpy(
            driver.used() + ring::kRingOffset + sizeof element * slot, &element, sizeof element
        );
    }
    static void publish(const Driver& driver, uint16_t next) noexcept {
        std::atomic_ref(*reinterpret_cast<uint16_t*>(driver.used() + ring::kIdxOffset))
            .store(next, std::memory_order_release);
    }

    std::vector<rte_mbuf*> mbufs_;
    uint32_t bytes_ = 0;
    uint16_t next_from_ = 0;
    uint16_t next_to_ = 0;
};

}  // namespace vduse::bench
