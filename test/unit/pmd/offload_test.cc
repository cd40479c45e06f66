// SPDX-License-Identifier: BSD-3-Clause

// Unfinished checksums and large frames through net_vduse. Rx: the application receives frames
// unfinished as far as its offloads allow; the rest is completed. Tx: the guest driver receives
// frames unfinished as far as its features allow.
#include <gtest/gtest.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "net_vduse_rig.h"
#include "vduse/offload.h"

namespace vduse::test {
namespace {

constexpr uint64_t kSums = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
constexpr uint64_t kLro = RTE_ETH_RX_OFFLOAD_TCP_LRO;
constexpr uint64_t kRxFlags = RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO;
constexpr uint16_t kSegment = 1400;

using Bytes = std::vector<uint8_t>;

/// A TCP or UDP packet.
struct Packet {
    bool tcp = true;
    bool ipv6 = false;
    bool vlan = false;
    uint32_t payload = 100;

    [[nodiscard]] uint16_t l2() const { return vlan ? 18 : 14; }
    [[nodiscard]] uint16_t l3() const { return ipv6 ? 40 : 20; }
    [[nodiscard]] uint16_t l4() const { return tcp ? 20 : 8; }
    [[nodiscard]] uint16_t l4_at() const { return static_cast<uint16_t>(l2() + l3()); }
    [[nodiscard]] uint16_t headers() const { return static_cast<uint16_t>(l4_at() + l4()); }
    [[nodiscard]] uint16_t csum_offset() const { return tcp ? 16 : 6; }

    [[nodiscard]] uint16_t pseudo_sum(const Bytes& frame) const {
        const uint8_t* const ip = frame.data() + l2();
        return ipv6 ? rte_ipv6_phdr_cksum(reinterpret_cast<const rte_ipv6_hdr*>(ip), 0)
                    : rte_ipv4_phdr_cksum(reinterpret_cast<const rte_ipv4_hdr*>(ip), 0);
    }
    /// The frame with only the pseudo-header sum in its checksum field.
    [[nodiscard]] Bytes unfinished() const {
        Bytes frame = pattern(payload);
        frame.insert(frame.begin(), headers(), uint8_t{0});
        frame[0] = frame[6] = 2;
        set16(frame, l2() - 2U, ipv6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
        if (vlan) {
            set16(frame, 12, RTE_ETHER_TYPE_VLAN);
            set16(frame, 14, 5);
        }
        uint8_t* const ip = frame.data() + l2();
        const auto behind = static_cast<uint16_t>(l4() + payload);
        if (ipv6) {
            ip[0] = 0x60;
            set16(frame, l2() + 4U, behind);
            ip[6] = tcp ? IPPROTO_TCP : IPPROTO_UDP;
            ip[8] = ip[24] = 0xfd;
        } else {
            ip[0] = 0x45;
            set16(frame, l2() + 2U, static_cast<uint16_t>(20 + behind));
            ip[8] = 64;
            ip[9] = tcp ? IPPROTO_TCP : IPPROTO_UDP;
            ip[12] = ip[16] = 10;
            const uint16_t sum = rte_ipv4_cksum(reinterpret_cast<rte_ipv4_hdr*>(ip));
            std::memcpy(ip + 10, &sum, sizeof sum);
        }
        uint8_t* const transport = frame.data() + l4_at();
        if (tcp) {
            transport[7] = 1;  // the sequence number
            transport[12] = 0x50;
            transport[13] = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG;
        } else {
            set16(frame, l4_at() + 4U, behind);
        }
        const uint16_t sum = pseudo_sum(frame);
        std::memcpy(transport + csum_offset(), &sum, sizeof sum);
        return frame;
    }
    /// The frame with a complete checksum.
    [[nodiscard]] Bytes finished() const {
        Bytes frame = unfinished();
        const uint16_t sum =
            static_cast<uint16_t>(~rte_raw_cksum(frame.data() + l4_at(), frame.size() - l4_at()));
        std::memcpy(frame.data() + l4_at() + csum_offset(), &sum, sizeof sum);
        return frame;
    }
    /// The frame without checksums, as applications may send it.
    [[nodiscard]] Bytes without_sums() const {
        Bytes frame = unfinished();
        set16(frame, l4_at() + size_t{csum_offset()}, 0);
        if (!ipv6)
            set16(frame, l2() + 10U, 0);
        return frame;
    }
    [[nodiscard]] net::NetHeader header(uint16_t segment = 0) const {
        net::NetHeader header{};
        header.flags = net::kHeaderNeedsCsum;
        header.csum_start = l4_at();
        header.csum_offset = csum_offset();
        if (segment != 0) {
            header.gso_type = ipv6 ? net::kGsoTcp6 : net::kGsoTcp4;
            header.gso_size = segment;
            header.hdr_len = headers();
        }
        return header;
    }
    /// The segments of the frame.
    [[nodiscard]] std::vector<Bytes> segments(uint16_t segment) const {
        const Bytes whole = unfinished();
        std::vector<Bytes> all;
        for (uint32_t at = 0; at < payload; at += segment) {
            Packet part = *this;
            part.payload = std::min<uint32_t>(segment, payload - at);
            Bytes frame = part.unfinished();
            uint8_t* const ip = frame.data() + l2();
            uint8_t* const transport = frame.data() + l4_at();
            if (!ipv6) {
                set16(frame, l2() + 4U, static_cast<uint16_t>(at / segment));
                set16(frame, l2() + 10U, 0);
                const uint16_t sum = rte_ipv4_cksum(reinterpret_cast<rte_ipv4_hdr*>(ip));
                std::memcpy(ip + 10, &sum, sizeof sum);
            }
            const rte_be32_t sequence = rte_cpu_to_be_32(1 + at);
            std::memcpy(transport + 4, &sequence, sizeof sequence);
            if (at + segment < payload)
                transport[13] = RTE_TCP_ACK_FLAG;
            std::copy_n(whole.begin() + headers() + at, part.payload, frame.begin() + headers());
            const uint16_t sum =
                static_cast<uint16_t>(~rte_raw_cksum(frame.data() + l4_at(), frame.size() - l4_at())
                );
            std::memcpy(transport + csum_offset(), &sum, sizeof sum);
            all.push_back(frame);
        }
        return all;
    }

  private:
    static void set16(Bytes& frame, size_t at, uint16_t value) {
        frame[at] = static_cast<uint8_t>(value >> 8);
        frame[at + 1] = static_cast<uint8_t>(value);
    }
};

constexpr Packet kLarge{.payload = 10 * kSegment - 7};

/// The fields of an mbuf that tests check.
struct Got {
    Bytes bytes;
    uint64_t flags;
    uint32_t type;
    uint64_t l2, l3, l4, segment, mbufs, tci;
};

class Offload : public NetVduse {
  protected:
    static constexpr uint64_t kAll = kBase | virtio::kFeatureCsum | virtio::kFeatureHostTso4 |
                                     virtio::kFeatureHostTso6 | virtio::kFeatureHostEcn |
                                     virtio::kFeatureGuestCsum | virtio::kFeatureGuestTso4 |
                                     virtio::kFeatureGuestTso6 | virtio::kFeatureGuestEcn;

    /// Starts a port with Rx `offloads`, and a guest driver with `features`.
    void begin(const std::string& keys, uint64_t offloads, uint64_t features = kAll) {
        ASSERT_EQ(plug(keys), 0);
        rte_eth_conf conf{};
        conf.rxmode.offloads = offloads;
        conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
        start_port(1, 1, conf);
        on_control([&] { plain_start(features & ~virtio::kFeatureMtu); });
        look();
    }
    /// The guest sends a frame with a header.
    void guest_sends(const Bytes& frame, const net::NetHeader& header = {}) {
        const AddressPair at = guest.address(kBuffers + 0x100000 + (slot_++ % 8) * 0x11000);
        std::memcpy(at.host, &header, sizeof header);
        std::memcpy(at.host + sizeof header, frame.data(), frame.size());
        ring(1).offer({{at.iova, static_cast<uint32_t>(sizeof header + frame.size()), false}});
        ring(1).publish();
    }
    void guest_sends(const Packet& packet, uint16_t segment = 0) {
        guest_sends(packet.unfinished(), packet.header(segment));
    }
    std::vector<Got> burst(uint16_t most = 32) {
        std::vector<rte_mbuf*> frames(most);
        frames.resize(rte_eth_rx_burst(port, 0, frames.data(), most));
        std::vector<Got> got;
        for (rte_mbuf* frame : frames) {
            got.push_back(
                {content(frame),
                 frame->ol_flags,
                 frame->packet_type,
                 frame->l2_len,
                 frame->l3_len,
                 frame->l4_len,
                 frame->tso_segsz,
                 frame->nb_segs,
                 frame->vlan_tci}
            );
            rte_pktmbuf_free(frame);
        }
        return got;
    }
    /// The bytes of frames, which must be complete. `good`: and flagged with good checksums.
    static std::vector<Bytes> finished(const std::vector<Got>& got, bool good = false) {
        std::vector<Bytes> bytes;
        for (const Got& frame : got) {
            EXPECT_EQ(
                frame.flags & (kRxFlags | kAskedFlags), good ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0U
            );
            EXPECT_EQ(frame.segment, 0);
            bytes.push_back(frame.bytes);
        }
        return bytes;
    }
    rte_eth_dev_info info() {
        rte_eth_dev_info info{};
        EXPECT_EQ(rte_eth_dev_info_get(port, &info), 0);
        return info;
    }
    /// A frame with the application's Tx offload requests.
    rte_mbuf* asking(const Packet& packet, uint16_t segment = 0) {
        rte_mbuf* const frame = pool.frame(packet.without_sums());
        frame->tx_offload =
            rte_mbuf_tx_offload(packet.l2(), packet.l3(), packet.l4(), segment, 0, 0, 0);
        frame->ol_flags |=
            packet.ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
        frame->ol_flags |= packet.tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
        if (segment != 0)
            frame->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
        return frame;
    }
    /// The guest offers buffers that are large enough for any frame.
    void guest_offers_large(unsigned buffers) {
        for (unsigned i = 0; i < buffers; ++i)
            ring(0).offer({{kBuffers + 0x100000 + i * 0x11000ULL, 0x11000, true}});
        ring(0).publish();
    }
    /// The frame that arrived in large buffer `number`, and its header.
    Bytes arrived(unsigned number, net::NetHeader& header) {
        const auto used = ring(0).take_used();
        if (!used || used->len < sizeof header)
            return {};
        const AddressPair at = guest.address(kBuffers + 0x100000 + number * 0x11000ULL);
        std::memcpy(&header, at.host, sizeof header);
        const auto* const bytes = reinterpret_cast<const uint8_t*>(at.host);
        return {bytes + sizeof header, bytes + used->len};
    }

  private:
    unsigned slot_ = 0;
};

TEST_F(Offload, WhatAPortCanDo) {
    constexpr uint64_t kChecksum = RTE_ETH_RX_OFFLOAD_CHECKSUM;
    constexpr uint64_t kTx = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
                             RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO |
                             RTE_ETH_TX_OFFLOAD_VLAN_INSERT | RTE_ETH_TX_OFFLOAD_MULTI_SEGS |
                             RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    constexpr uint64_t kAsked = kChecksum | kLro;
    const struct {
        const char* keys;
        uint64_t asked;
        uint32_t lro;
    } cases[] = {
        {"", kAsked, kLongestLarge},
        {"tso=1", kAsked, kLongestLarge},
        {"tso=0", kChecksum, 0},
        {"csum=0", kChecksum, 0},
        {"legacy-ol-flags=1", kLro, kLongestLarge},
        {"linear-buffer=1", kChecksum, 0}};
    for (const auto& [keys, asked, lro] : cases) {
        ASSERT_EQ(plug(keys), 0) << keys;
        EXPECT_EQ(info().rx_offload_capa & kAsked, asked) << keys;
        EXPECT_EQ(info().max_lro_pkt_size, lro) << keys;
        EXPECT_EQ(info().tx_offload_capa, kTx) << keys;
        unplug();
    }
}

TEST_F(Offload, SumsAreFinishedForWhoDoesNotAskForThem) {
    begin("", RTE_ETH_RX_OFFLOAD_TCP_CKSUM);
    std::vector<Bytes> expected;
    for (const bool tcp : {true, false})
        for (const bool ipv6 : {true, false}) {
            const Packet packet{.tcp = tcp, .ipv6 = ipv6, .payload = 101};
            guest_sends(packet);
            expected.push_back(packet.finished());
        }
    guest_sends(pattern(60));
    expected.push_back(pattern(60));
    EXPECT_EQ(finished(burst()), expected);
    EXPECT_EQ(xstat("rx_csum_done"), 4U);
    EXPECT_EQ(xstat("rx_pair0_csum"), 4U);
    EXPECT_EQ(xstat("rx_pair0_large"), 0U);
    EXPECT_EQ(stats().ipackets, 5U);
    EXPECT_EQ(rte_eth_stats_reset(port), 0);
    EXPECT_EQ(xstat("rx_csum_done"), 0U);
}

// An application that enables Rx checksum offloads gets them flagged as good.
TEST_F(Offload, SumsAreGoodForWhoAsks) {
    begin("", kSums);
    for (const bool tcp : {true, false}) {
        const Packet packet{.tcp = tcp};
        guest_sends(packet);
        const auto got = burst();
        ASSERT_EQ(got.size(), 1U);
        EXPECT_EQ(got[0].flags & kRxFlags, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
        EXPECT_EQ(got[0].bytes, packet.finished());
    }
    guest_sends(pattern(60));
    EXPECT_EQ(burst()[0].flags & kRxFlags, 0U) << "nobody knows";
    EXPECT_EQ(xstat("rx_csum_done"), 2U);
}

TEST_F(Offload, SumsAreLeftToWhoKnowsWhatThatIs) {
    begin("csum=1", kSums);
    for (const bool tcp : {true, false}) {
        const Packet packet{.tcp = tcp};
        guest_sends(packet);
        const auto got = burst();
        ASSERT_EQ(got.size(), 1U);
        EXPECT_EQ(got[0].flags & kRxFlags, RTE_MBUF_F_RX_L4_CKSUM_NONE);
        EXPECT_EQ(got[0].bytes, packet.unfinished());
        EXPECT_EQ(got[0].l2, packet.l2());
        EXPECT_EQ(got[0].l3, packet.l3());
        EXPECT_EQ(got[0].l4, packet.l4());
    }
    EXPECT_EQ(xstat("rx_csum_done"), 0U);
}

TEST_F(Offload, ALargeFrameComesInBurstsAsTheyHaveRoom) {
    begin("", 0);
    guest_sends(pattern(60, 1));
    guest_sends(kLarge, kSegment);
    guest_sends(pattern(60, 2));
    guest_sends(Packet{.tcp = false});
    auto expected = kLarge.segments(kSegment);
    ASSERT_EQ(expected.size(), 10U);
    expected.insert(expected.begin(), pattern(60, 1));
    expected.push_back(pattern(60, 2));
    expected.push_back(Packet{.tcp = false}.finished());

    // A burst takes no more from the ring than it has room for.
    std::vector<Bytes> got = finished(burst(4));
    EXPECT_EQ(got.size(), 4U);
    EXPECT_EQ(rte_eth_rx_queue_count(port, 0), 3) << "a part of one, and those behind it";
    guest_sends(pattern(60, 3));
    expected.push_back(pattern(60, 3));
    for (int i = 0; i < 5 && got.size() != expected.size(); ++i)
        for (const Bytes& bytes : finished(burst(3)))
            got.push_back(bytes);
    EXPECT_EQ(got, expected);
    EXPECT_EQ(rte_eth_rx_queue_count(port, 0), 0);
    EXPECT_TRUE(burst().empty());

    uint64_t bytes = 0;
    for (const Bytes& frame : expected)
        bytes += frame.size();
    EXPECT_EQ(stats().ipackets, expected.size()) << "what the application got";
    EXPECT_EQ(stats().ibytes, bytes);
    EXPECT_EQ(stats().q_ipackets[0], expected.size());
    EXPECT_EQ(stats().q_ibytes[0], bytes);
    EXPECT_EQ(xstat("rx_segmented"), 1U);
    EXPECT_EQ(xstat("rx_pair0_large"), 1U);
    EXPECT_EQ(xstat("rx_unfinished_dropped"), 0U);
}

TEST_F(Offload, ManyLargeFramesOfEitherProtocol) {
    begin("", kSums);
    std::vector<Bytes> expected;
    for (int i = 0; i < 6; ++i) {
        const Packet packet{.ipv6 = i % 2 == 0, .payload = 5000U + static_cast<unsigned>(i)};
        guest_sends(packet, kSegment);
        for (const Bytes& segment : packet.segments(kSegment))
            expected.push_back(segment);
    }
    std::vector<Bytes> got;
    for (int i = 0; i < 30; ++i)
        for (const Bytes& bytes : finished(burst(1), true))
            got.push_back(bytes);
    EXPECT_EQ(got, expected);
    EXPECT_EQ(xstat("rx_segmented"), 6U);
}

TEST_F(Offload, LargeFramesForWhoTakesThem) {
    const auto expect_whole = [&](const char* keys, uint64_t offloads) {
        begin(keys, offloads);
        guest_sends(kLarge, kSegment);
        const auto got = burst();
        ASSERT_EQ(got.size(), 1U) << keys;
        EXPECT_EQ(got[0].flags & kRxFlags, kRxFlags) << keys;
        EXPECT_EQ(got[0].bytes, kLarge.unfinished());
        EXPECT_EQ(got[0].segment, kSegment);
        EXPECT_GT(got[0].mbufs, 1);
        rte_eth_rxq_info queue{};
        EXPECT_EQ(rte_eth_rx_queue_info_get(port, 0, &queue), 0);
        EXPECT_EQ(queue.scattered_rx, 1);
        EXPECT_EQ(xstat("rx_segmented"), 0U);
        // The checksums of other frames are as requested.
        guest_sends(Packet{});
        EXPECT_EQ(
            burst().at(0).bytes, offloads == kLro ? Packet{}.finished() : Packet{}.unfinished()
        );
        unplug();
    };
    expect_whole("", kSums | kLro);
    expect_whole("", kLro);
    expect_whole("tso=1", kSums);
}

TEST_F(Offload, LinearBuffersHaveNoRoomForLargeFrames) {
    begin("linear-buffer=1,tso=1", kSums);
    guest_sends(kLarge, kSegment);
    EXPECT_EQ(finished(burst(), true), kLarge.segments(kSegment));
}

TEST_F(Offload, ExternalBuffers) {
    for (const char* keys : {"ext-buffer=1,tso=1", "ext-buffer=1,linear-buffer=1,tso=1"}) {
        begin(keys, kSums);
        for (int i = 0; i < 2; ++i)
            guest_sends(kLarge, kSegment);
        const auto got = burst();
        ASSERT_EQ(got.size(), 2U) << keys;
        EXPECT_EQ(got[1].bytes, kLarge.unfinished());
        EXPECT_EQ(got[1].mbufs, 1);
        EXPECT_EQ(got[1].segment, kSegment);
        rte_eth_rxq_info queue{};
        EXPECT_EQ(rte_eth_rx_queue_info_get(port, 0, &queue), 0);
        EXPECT_EQ(queue.scattered_rx, 0);
        unplug();
    }
    begin("ext-buffer=1", kSums);
    guest_sends(kLarge, kSegment);
    EXPECT_EQ(finished(burst(), true), kLarge.segments(kSegment))
        << "it did not ask for large ones";
}

TEST_F(Offload, LegacyFlags) {
    begin("legacy-ol-flags=1,tso=1", 0);
    guest_sends(kLarge, kSegment);
    guest_sends(Packet{.ipv6 = true, .payload = 5000}, kSegment);
    guest_sends(Packet{});
    guest_sends(Packet{.tcp = false, .ipv6 = true});
    const auto got = burst();
    ASSERT_EQ(got.size(), 4U);
    const std::array expected = {
        RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG |
            RTE_MBUF_F_TX_IP_CKSUM,
        RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG,
        RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM,
        RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM};
    for (size_t i = 0; i < got.size(); ++i)
        EXPECT_EQ(got[i].flags, expected[i]) << i;
    EXPECT_EQ(got[0].segment, kSegment);
    EXPECT_EQ(got[0].l2, 14);
    EXPECT_EQ(got[0].l3, 20);
    EXPECT_EQ(got[0].l4, 20);
    EXPECT_EQ(got[2].segment, 0);
    EXPECT_EQ(got[3].l3, 40);
    EXPECT_EQ(got[0].bytes, kLarge.unfinished());
    unplug();

    begin("legacy-ol-flags=1", 0);
    guest_sends(kLarge, kSegment);
    EXPECT_EQ(finished(burst()), kLarge.segments(kSegment)) << "nobody asked for it whole";
}

TEST_F(Offload, AnEmptyPoolMeansLater) {
    begin("", 0);
    guest_sends(kLarge, kSegment);
    guest_sends(pattern(60));
    std::vector<rte_mbuf*> taken;
    // Seven mbufs hold the large frame, and one the other.
    while (rte_mempool_avail_count(pool.get()) > 12)
        taken.push_back(rte_pktmbuf_alloc(pool.get()));
    std::array<rte_mbuf*, 32> frames;
    std::vector<Bytes> got;
    const auto receive = [&] {
        const uint16_t count = rte_eth_rx_burst(port, 0, frames.data(), frames.size());
        for (uint16_t i = 0; i < count; ++i)
            got.push_back(content(frames[i]));
        return count;
    };
    const uint16_t first = receive();
    EXPECT_GT(first, 0);
    EXPECT_LT(first, 10);
    std::array<rte_mbuf*, 32> kept = frames;
    EXPECT_EQ(receive(), 0);
    EXPECT_GT(rte_eth_rx_queue_count(port, 0), 0);
    rte_pktmbuf_free_bulk(kept.data(), first);
    rte_pktmbuf_free_bulk(taken.data(), static_cast<unsigned>(taken.size()));
    const uint16_t second = receive();
    rte_pktmbuf_free_bulk(frames.data(), second);
    auto expected = kLarge.segments(kSegment);
    expected.push_back(pattern(60));
    EXPECT_EQ(got, expected);
    EXPECT_EQ(stats().imissed, 0U);
}

// The frame itself holds all mbufs, so waiting for a free one would never end.
TEST_F(Offload, AFrameThatHasAllMbufsIsDropped) {
    const Pool few(7);
    ASSERT_EQ(plug(), 0);
    rte_eth_conf conf{};
    ASSERT_EQ(rte_eth_dev_configure(port, 1, 1, &conf), 0);
    ASSERT_EQ(rte_eth_rx_queue_setup(port, 0, 512, 0, nullptr, few.get()), 0);
    ASSERT_EQ(rte_eth_tx_queue_setup(port, 0, 512, 0, nullptr), 0);
    ASSERT_EQ(rte_eth_dev_start(port), 0);
    on_control([&] { plain_start(kAll & ~virtio::kFeatureMtu); });
    look();
    guest_sends(kLarge, kSegment);
    guest_sends(pattern(60));
    EXPECT_TRUE(burst().empty());
    EXPECT_EQ(few.in_use(), 7U);
    EXPECT_EQ(stats().imissed, 0U);
    std::vector<Got> got;
    for (int i = 0; i < 100'000 && got.empty(); ++i)
        got = burst();
    EXPECT_EQ(finished(got), std::vector<Bytes>{pattern(60)});
    EXPECT_EQ(xstat("rx_unfinished_dropped"), 10U) << "segments";
    EXPECT_EQ(stats().imissed, 10U);
    EXPECT_EQ(stats().ipackets, 1U);
    unplug();
}

TEST_F(Offload, WhatIsHeldIsFreedAtTheEnd) {
    begin("", 0);
    const auto hold = [&] {
        guest_sends(kLarge, kSegment);
        guest_sends(pattern(60));
        EXPECT_EQ(burst(3).size(), 3U);
        EXPECT_EQ(rte_eth_rx_queue_count(port, 0), 2);
        EXPECT_GT(pool.in_use(), 0U);
    };
    hold();
    EXPECT_EQ(rte_eth_dev_rx_queue_stop(port, 0), 0);
    EXPECT_TRUE(burst().empty());
    EXPECT_EQ(rte_eth_dev_rx_queue_start(port, 0), 0);
    EXPECT_EQ(burst().size(), 8U) << "a queue that pauses keeps it";
    hold();
    EXPECT_EQ(rte_eth_dev_stop(port), 0);
    EXPECT_EQ(pool.in_use(), 0U);
    EXPECT_EQ(xstat("rx_unfinished_dropped"), 8U);
    EXPECT_EQ(stats().ipackets, 11U + 3U) << "what the application got";
    EXPECT_EQ(rte_eth_dev_start(port), 0);
    EXPECT_TRUE(burst().empty());
    hold();
    unplug();
    EXPECT_EQ(pool.in_use(), 0U);
}

TEST_F(Offload, InterruptsDoNotSleepOverWhatIsHeld) {
    ASSERT_EQ(plug(), 0);
    rte_eth_conf conf{};
    conf.intr_conf.rxq = 1;
    start_port(1, 1, conf);
    on_control([&] { plain_start(kAll & ~virtio::kFeatureMtu); });
    look();
    guest_sends(kLarge, kSegment);
    EXPECT_EQ(burst(3).size(), 3U);
    EXPECT_EQ(rte_eth_dev_rx_intr_enable(port, 0), -EAGAIN);
    EXPECT_EQ(burst().size(), 7U);
    EXPECT_EQ(rte_eth_dev_rx_intr_enable(port, 0), 0);
}

TEST_F(Offload, TagsAreTakenOffUnfinishedFrames) {
    constexpr uint64_t kVlan = RTE_ETH_RX_OFFLOAD_VLAN_STRIP | RTE_ETH_RX_OFFLOAD_VLAN_FILTER;
    Packet large = kLarge;
    large.vlan = true;
    const Packet small{.vlan = true};
    begin("", kSums | kLro | kVlan);
    ASSERT_EQ(rte_eth_dev_vlan_filter(port, 5, 1), 0);
    guest_sends(large, kSegment);
    guest_sends(small);
    for (const Got& got : burst()) {
        EXPECT_EQ(got.l2, 14);
        EXPECT_EQ(got.type & RTE_PTYPE_L2_MASK, uint32_t{RTE_PTYPE_L2_ETHER});
        EXPECT_EQ(got.tci, 5);
        EXPECT_EQ(got.bytes, got.segment != 0 ? kLarge.unfinished() : Packet{}.unfinished());
    }
    EXPECT_EQ(stats().ipackets, 2U);
    unplug();

    begin("", kVlan);
    ASSERT_EQ(rte_eth_dev_vlan_filter(port, 5, 1), 0);
    guest_sends(large, kSegment);
    auto got = burst(3);
    for (const Got& segment : burst())
        got.push_back(segment);
    EXPECT_EQ(finished(got), kLarge.segments(kSegment));
    for (const Got& segment : got) {
        EXPECT_EQ(segment.tci, 5);
        EXPECT_EQ(segment.l2, 0);
    }
    ASSERT_EQ(rte_eth_dev_vlan_filter(port, 5, 0), 0);
    guest_sends(large, kSegment);
    EXPECT_TRUE(burst().empty());
    EXPECT_EQ(xstat("rx_vlan_filtered_dropped"), 10U);
    EXPECT_EQ(stats().ipackets, 10U);
}

TEST_F(Offload, RecycledMbufsAreNotLarge) {
    begin("", kSums | kLro);
    std::vector<rte_mbuf*> all;
    while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool.get())) {
        mbuf->tso_segsz = 1000;
        mbuf->l2_len = 14;
        all.push_back(mbuf);
    }
    rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
    guest_sends(pattern(60));
    guest_sends(Packet{});
    for (const Got& got : burst())
        EXPECT_EQ(got.segment, 0);
    unplug();
    all.clear();
    begin("", 0);
    while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool.get())) {
        mbuf->tso_segsz = 1000;
        all.push_back(mbuf);
    }
    rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
    guest_sends(kLarge, kSegment);
    EXPECT_EQ(finished(burst()).size(), 10U);
}

TEST_F(Offload, WhatIsSentIsLeftToADriverThatTakesIt) {
    begin("", 0);
    guest_offers_large(3);
    EXPECT_EQ(send(0, asking(kLarge, kSegment)), 1);
    EXPECT_EQ(send(0, asking(Packet{.tcp = false})), 1);
    net::NetHeader header{};
    EXPECT_EQ(arrived(0, header), kLarge.unfinished());
    EXPECT_EQ(header.gso_type, net::kGsoTcp4);
    EXPECT_EQ(header.gso_size, kSegment);
    EXPECT_EQ(arrived(1, header), (Packet{.tcp = false}.unfinished()));
    EXPECT_EQ(header.flags, net::kHeaderNeedsCsum);
    EXPECT_EQ(header.gso_type, net::kGsoNone);
    EXPECT_EQ(xstat("tx_pair0_csum"), 2U);
    EXPECT_EQ(xstat("tx_pair0_large"), 1U);
    EXPECT_EQ(xstat("tx_pair0_csum_done"), 0U);
    EXPECT_EQ(xstat("tx_pair0_cut"), 0U);
}

TEST_F(Offload, WhatIsSentIsFinishedForADriverThatDoesNot) {
    begin("", 0, kBase);
    guest_offers_large(4);
    const Packet packet{.payload = 3000};
    EXPECT_EQ(send(0, asking(packet, kSegment)), 1);
    EXPECT_EQ(send(0, asking(Packet{})), 1);
    const auto segments = packet.segments(kSegment);
    ASSERT_EQ(segments.size(), 3U);
    net::NetHeader header{};
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_EQ(arrived(i, header), segments[i]) << i;
        EXPECT_EQ(header.flags, 0);
    }
    EXPECT_EQ(arrived(3, header), Packet{}.finished());
    EXPECT_EQ(xstat("tx_pair0_cut"), 1U);
    EXPECT_GE(xstat("tx_pair0_csum_done"), 1U);
    EXPECT_EQ(xstat("tx_pair0_csum"), 0U);
}

TEST_F(Offload, TagsArePutIntoUnfinishedFrames) {
    begin("", kSums | kLro);
    guest_offers_large(3);
    Packet tagged = kLarge;
    tagged.vlan = true;
    rte_mbuf* frame = asking(kLarge, kSegment);
    frame->ol_flags |= RTE_MBUF_F_TX_VLAN;
    frame->vlan_tci = 5;
    EXPECT_EQ(send(0, frame), 1);
    net::NetHeader header{};
    EXPECT_EQ(arrived(0, header), tagged.unfinished());
    EXPECT_EQ(header.csum_start, 38);
    EXPECT_EQ(header.hdr_len, 58);

    // The frame is sent as it was received.
    guest_sends(kLarge, kSegment);
    ASSERT_EQ(rte_eth_rx_burst(port, 0, &frame, 1), 1);
    frame->ol_flags |= RTE_MBUF_F_TX_VLAN;
    frame->vlan_tci = 5;
    EXPECT_EQ(send(0, frame), 1);
    EXPECT_EQ(arrived(1, header), tagged.unfinished());
    EXPECT_EQ(header.csum_start, 38);
    EXPECT_EQ(header.gso_size, kSegment);
}

TEST_F(Offload, TxPrepareRefusesWhatNobodyCanDo) {
    begin("", 0);
    std::array<rte_mbuf*, 4> frames = {
        pool.frame(pattern(60)), asking(kLarge, kSegment), asking(Packet{}), asking(Packet{})};
    const auto prepare = [&] {
        rte_errno = 0;
        return rte_eth_tx_prepare(port, 0, frames.data(), frames.size());
    };
    EXPECT_EQ(prepare(), 4);
    EXPECT_EQ(rte_errno, 0);
    const auto refused = [&](auto change) {
        rte_mbuf before = *frames[2];
        change(*frames[2]);
        EXPECT_EQ(prepare(), 2);
        EXPECT_EQ(rte_errno, EINVAL);
        frames[2]->ol_flags = before.ol_flags;
        frames[2]->tx_offload = before.tx_offload;
    };
    refused([](rte_mbuf& frame) { frame.l3_len = 24; });
    refused([](rte_mbuf& frame) { frame.l2_len = 0; });
    refused([](rte_mbuf& frame) { frame.ol_flags |= RTE_MBUF_F_TX_TCP_SEG; });
    refused([](rte_mbuf& frame) { frame.ol_flags |= RTE_MBUF_F_TX_TUNNEL_VXLAN; });
    refused([](rte_mbuf& frame) { frame.ol_flags |= RTE_MBUF_F_TX_UDP_SEG; });
    EXPECT_EQ(prepare(), 4);
    rte_pktmbuf_free_bulk(frames.data(), frames.size());
}

TEST_F(Offload, WhatCannotBeDoneIsCounted) {
    begin("", 0);
    guest_offers_large(1);
    rte_mbuf* frame = asking(Packet{});
    frame->l3_len = 24;
    EXPECT_EQ(send(0, frame), 1);
    frame = asking(kLarge, kSegment);
    frame->tso_segsz = 0;
    EXPECT_EQ(send(0, frame), 1);
    EXPECT_EQ(xstat("tx_pair0_bad_csum_errors"), 1U);
    EXPECT_EQ(xstat("tx_pair0_bad_gso_errors"), 1U);
    EXPECT_EQ(stats().oerrors, 2U);

    net::NetHeader header = Packet{}.header();
    header.csum_start = 1000;
    guest_sends(Packet{}.unfinished(), header);
    guest_sends(kLarge, 1);
    EXPECT_TRUE(burst().empty());
    EXPECT_EQ(xstat("rx_pair0_bad_csum_errors"), 1U);
    EXPECT_EQ(xstat("rx_pair0_bad_gso_errors"), 1U);
    EXPECT_EQ(stats().ierrors, 2U);
}

}  // namespace
}  // namespace vduse::test
