// SPDX-License-Identifier: BSD-3-Clause

// Starts DPDK without hugepages, PCI or shared files, and provides mbuf pools. For tests and
// fuzzers.
#pragma once

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace vduse::test {

/// Initialises the EAL, once per process. `more`: further arguments, such as lcores and telemetry.
/// Returns false on error; rte_errno has the reason.
inline bool start_eal(const std::vector<std::string>& more = {"--no-telemetry", "-l", "0"}) {
    std::vector<std::string> arguments = {
        "test",
        "--no-huge",
        "--no-pci",
        "--no-shconf",
        "-m",
        "64",
        "--iova-mode=va",
        "--log-level=lib.eal:error"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::vector<char*> pointers;
    for (std::string& argument : arguments)
        pointers.push_back(argument.data());
    return rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) >= 0;
}

/// A pool of mbufs.
class MbufPool {
  public:
    static constexpr uint16_t kRoom = 2048;

    /// `room`: bytes of data per mbuf.
    explicit MbufPool(unsigned mbufs, uint16_t room = kRoom) {
        static int number = 0;
        const std::string name = "pool" + std::to_string(number++);
        const auto bytes = static_cast<uint16_t>(room + RTE_PKTMBUF_HEADROOM);
        pool_ = rte_pktmbuf_pool_create(name.c_str(), mbufs, 0, 0, bytes, SOCKET_ID_ANY);
    }
    MbufPool(const MbufPool&) = delete;
    MbufPool& operator=(const MbufPool&) = delete;
    ~MbufPool() { rte_mempool_free(pool_); }

    /// nullptr if there was no memory for the pool.
    [[nodiscard]] rte_mempool* get() const { return pool_; }
    [[nodiscard]] unsigned in_use() const { return rte_mempool_in_use_count(pool_); }

    /// A frame with content `bytes`, in segments of at most `run` bytes. nullptr if the pool is
    /// empty.
    rte_mbuf* frame(const std::vector<uint8_t>& bytes, size_t run = kRoom) {
        rte_mbuf* head = nullptr;
        rte_mbuf* last = nullptr;
        for (size_t at = 0; at == 0 || at < bytes.size(); at += run) {
            rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_);
            if (mbuf == nullptr) {
                rte_pktmbuf_free(head);
                return nullptr;
            }
            const size_t part = std::min(run, bytes.size() - at);
            std::copy_n(
                bytes.begin() + static_cast<ptrdiff_t>(at), part, rte_pktmbuf_mtod(mbuf, uint8_t*)
            );
            mbuf->data_len = static_cast<uint16_t>(part);
            if (head == nullptr) {
                head = mbuf;
                head->pkt_len = static_cast<uint32_t>(bytes.size());
            } else {
                last->next = mbuf;
                ++head->nb_segs;
            }
            last = mbuf;
        }
        return head;
    }

  private:
    rte_mempool* pool_ = nullptr;
};

/// The content of a frame.
inline std::vector<uint8_t> content(const rte_mbuf* frame) {
    std::vector<uint8_t> bytes;
    for (; frame != nullptr; frame = frame->next) {
        const auto* data = rte_pktmbuf_mtod(frame, const uint8_t*);
        bytes.insert(bytes.end(), data, data + frame->data_len);
    }
    return bytes;
}

/// `bytes` of frame content. Different seeds give different content.
inline std::vector<uint8_t> pattern(size_t bytes, unsigned seed = 1) {
    std::vector<uint8_t> result(bytes);
    uint32_t state = seed * 2654435761U + 1;
    for (uint8_t& byte : result) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<uint8_t>(state >> 24);
    }
    return result;
}

}  // namespace vduse::test
