// SPDX-License-Identifier: BSD-3-Clause

// Writes frames into chains. Part of to_guest.h, which lists what a hostile driver could try.
//
// Guest memory is written, never read. The chains are checked and have enough room.
#pragma once

#include <rte_mbuf.h>

#include <span>

#include "base/guest.h"
#include "net/cursor.h"
#include "net/header.h"
#include "net/mbuf_walk.h"
#include "ring/chain.h"

namespace vduse::net::detail {

/// One frame to write: a virtio-net header, `head`, and `bytes` of `frame` from offset `at` on.
struct Output {
    NetHeader header{};
    std::span<const uint8_t> head = {};
    const rte_mbuf* frame;
    uint32_t at = 0;
    uint32_t bytes;

    [[nodiscard]] uint64_t size() const noexcept { return head.size() + bytes; }
};

/// Writes into chains, one after the other, and stores the bytes written to each in `lengths`.
class ChainWriter {
  public:
    ChainWriter(std::span<const ring::Chain> chains, std::span<uint32_t> lengths) noexcept
        : chains_(chains), lengths_(lengths), cursor_(chains[0].writable()) {
        lengths_[0] = 0;
    }
    void write(const void* from, uint32_t bytes) noexcept {
        const auto* next = static_cast<const std::byte*>(from);
        for (;;) {
            const uint32_t stored = cursor_.store(next, bytes);
            lengths_[at_] += stored;
            next += stored;
            bytes -= stored;
            if (bytes == 0)
                return;
            cursor_ = Cursor(chains_[++at_].writable());
            lengths_[at_] = 0;
        }
    }

  private:
    std::span<const ring::Chain> chains_;
    std::span<uint32_t> lengths_;
    Cursor cursor_;
    size_t at_ = 0;
};

/// Writes header and frame into `chains`, which have room for both; sets `lengths`.
inline void write_frame(
    const Output& output, std::span<const ring::Chain> chains, std::span<uint32_t> lengths
) noexcept {
    NetHeader header = output.header;
    header.num_buffers = static_cast<uint16_t>(chains.size());
    ChainWriter writer(chains, lengths);
    writer.write(&header, sizeof header);
    if (!output.head.empty())
        writer.write(output.head.data(), static_cast<uint32_t>(output.head.size()));
    walk(*output.frame, output.at, output.bytes, [&](const std::byte* part, uint32_t run) {
        writer.write(part, run);
        return true;
    });
}

inline void store_header(std::byte* host, const WireHeader& header) noexcept {
    guest::store(host, header.first);
    guest::store(host + sizeof header.first, header.last);
}

}  // namespace vduse::net::detail
