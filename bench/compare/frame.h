// SPDX-License-Identifier: BSD-3-Clause

// The frames of the benchmark: numbered, and split over the buffers of a driver.
//
// Frames of different sizes have different bytes. A frame that leaves work to the other side is TCP
// over IPv4, as these offloads require. It is in buffers of 2 KiB, after the virtio-net header, so
// a frame of 64 KiB takes 32 of them. A guest with larger contiguous pieces would use fewer, so the
// worse case is measured.
#pragma once

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "bench/compare/case.h"
#include "net/header.h"
#include "vduse/limits.h"

namespace vduse::bench {

inline constexpr uint32_t kBufferBytes = 2048;
inline constexpr uint16_t kMss = 1448;

class Frame {
  public:
    Frame(uint32_t bytes, Leaves leaves) : bytes_(bytes), leaves_(leaves) {
        uint32_t state = bytes * 2654435761U + 1;
        for (std::byte& byte : bytes_) {
            state = state * 1664525U + 1013904223U;
            byte = static_cast<std::byte>(state >> 24);
        }
        if (leaves != Leaves::nothing)
            write_headers();
    }

    [[nodiscard]] uint32_t bytes() const noexcept { return static_cast<uint32_t>(bytes_.size()); }
    /// The number of driver buffers that the frame takes.
    [[nodiscard]] uint16_t buffers() const noexcept {
        return static_cast<uint16_t>(
            (net::kHeaderBytes + bytes() + kBufferBytes - 1) / kBufferBytes
        );
    }
    /// Calls `visit(offset in the buffer, offset in the frame, bytes)` for each buffer.
    template <class Visit>
    void for_each_buffer(Visit visit) const {
        uint32_t at = net::kHeaderBytes;
        for (uint32_t done = 0; done < bytes(); at = 0) {
            const uint32_t run = std::min(bytes() - done, kBufferBytes - at);
            visit(at, done, run);
            done += run;
        }
    }

    /// Writes `bytes` bytes of frame `number`, from offset `from`.
    void write(std::byte* to, uint32_t from, uint32_t bytes, uint64_t number) const noexcept {
        std::memcpy(to, bytes_.data() + from, bytes);
        if (from == 0)
            std::memcpy(to + number_at_, &number, sizeof number);
    }
    /// Whether the bytes are those of frame `number`. `whole`: checks every byte, not only the
    /// number.
    [[nodiscard]] bool matches(
        const std::byte* at, uint32_t from, uint32_t bytes, uint64_t number, bool whole
    ) const noexcept {
        if (from != 0)
            return !whole || std::memcmp(at, bytes_.data() + from, bytes) == 0;
        const size_t behind = number_at_ + sizeof number;
        return std::memcmp(at + number_at_, &number, sizeof number) == 0 &&
               (!whole || (std::memcmp(at, bytes_.data(), same_until_) == 0 &&
                           std::memcmp(at + behind, bytes_.data() + behind, bytes - behind) == 0));
    }

    /// The virtio-net header. `buffers`: the number of buffers if the frame is received, else 0.
    [[nodiscard]] net::NetHeader header(uint16_t buffers) const noexcept {
        net::NetHeader header{};
        header.num_buffers = buffers;
        if (leaves_ == Leaves::nothing)
            return header;
        header.flags = net::kHeaderNeedsCsum;
        header.csum_start = kL4;
        header.csum_offset = 16;
        if (leaves_ == Leaves::tso) {
            header.gso_type = net::kGsoTcp4;
            header.gso_size = kMss;
            header.hdr_len = kHeaders;
        }
        return header;
    }
    /// Sets the same in an mbuf, except flags.
    void describe(rte_mbuf& frame) const noexcept {
        if (leaves_ == Leaves::nothing)
            return;
        frame.packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_TCP;
        frame.tx_offload = rte_mbuf_tx_offload(
            kEthernetHeader,
            sizeof(rte_ipv4_hdr),
            sizeof(rte_tcp_hdr),
            leaves_ == Leaves::tso ? kMss : 0,
            0,
            0,
            0
        );
    }
    [[nodiscard]] bool leaves_something() const noexcept { return leaves_ != Leaves::nothing; }

  private:
    static constexpr uint16_t kL4 = kEthernetHeader + sizeof(rte_ipv4_hdr);
    static constexpr uint16_t kHeaders = kL4 + sizeof(rte_tcp_hdr);

    void write_headers() noexcept {
        number_at_ = kHeaders;
        same_until_ = kL4 + 16;  // rte_vhost may write another pseudo header checksum
        rte_ipv4_hdr ip{};
        ip.version_ihl = RTE_IPV4_VHL_DEF;
        ip.total_length = rte_cpu_to_be_16(static_cast<uint16_t>(bytes() - kEthernetHeader));
        ip.time_to_live = 64;
        ip.next_proto_id = IPPROTO_TCP;
        ip.src_addr = RTE_BE32(RTE_IPV4(10, 0, 0, 1));
        ip.dst_addr = RTE_BE32(RTE_IPV4(10, 0, 0, 2));
        ip.hdr_checksum = rte_ipv4_cksum(&ip);
        rte_tcp_hdr tcp{};
        tcp.data_off = sizeof tcp / 4 << 4;
        tcp.tcp_flags = RTE_TCP_ACK_FLAG;
        tcp.cksum = rte_ipv4_phdr_cksum(&ip, 0);
        bytes_[12] = std::byte{8};
        bytes_[13] = std::byte{0};
        std::memcpy(bytes_.data() + kEthernetHeader, &ip, sizeof ip);
        std::memcpy(bytes_.data() + kL4, &tcp, sizeof tcp);
    }

    std::vector<std::byte> bytes_;
    Leaves leaves_;
    size_t number_at_ = kEthernetHeader;
    size_t same_until_ = kEthernetHeader;  ///< before the number
};

}  // namespace vduse::bench
