// SPDX-License-Identifier: BSD-3-Clause

// net/from_guest.h: chains become mbufs, or are dropped and counted.
#include "net/from_guest.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "base/counter.h"
#include "support/eal.h"
#include "support/fetch_ledger.h"
#include "support/ring_rig.h"
#include "vduse/drop.h"

namespace vduse::test {
namespace {

using memory::Iova;
using net::NetHeader;

constexpr uint32_t kLongest = 9720;
constexpr Iova kBuffersEnd = RingRig::kBuffers + RingRig::kBufferBytes;

class FromGuest : public testing::Test {
  protected:
    RingRig rig;
    Pool pool{256};
    net::FromGuestRules rules{kLongest};
    net::QueueCounters counters;
    FetchLedger ledger;
    std::vector<std::vector<uint8_t>> received;

    /// Offers header and frame in descriptors of the given sizes. The last one ends where guest
    /// memory ends. Returns the head.
    uint16_t send(
        const std::vector<uint8_t>& frame, std::vector<uint32_t> sizes = {}, NetHeader header = {}
    ) {
        const auto total = static_cast<uint32_t>(sizeof header + frame.size());
        const Iova start = kBuffersEnd - total;
        rig.memory.store(start, header);
        rig.memory.write(start + sizeof header, frame.data(), frame.size());
        std::vector<Buffer> buffers;
        uint32_t done = 0;
        for (const uint32_t size : sizes) {
            buffers.push_back({start + done, size, false});
            done += size;
        }
        if (done < total)
            buffers.push_back({start + done, total - done, false});
        const auto head = rig.driver.offer(buffers);
        EXPECT_TRUE(head);
        rig.driver.publish();
        return head.value_or(0);
    }
    /// Offers a chain of `bytes` readable bytes.
    void send_bytes(uint32_t bytes) {
        rig.driver.offer({{kBuffersEnd - bytes, bytes, false}});
        rig.driver.publish();
    }
    /// Runs one burst and puts its frames into `received`.
    size_t burst(Pool& from, size_t most = 64) {
        std::vector<rte_mbuf*> mbufs(most);
        ledger.begin();
        const uint16_t count =
            net::from_guest(rig.ring, from.get(), rules, std::span(mbufs), counters);
        EXPECT_EQ(ledger.twice(), 0U);
        for (uint16_t i = 0; i < count; ++i) {
            EXPECT_EQ(rte_mbuf_check(mbufs[i], 1, nullptr), 0);
            received.push_back(content(mbufs[i]));
            EXPECT_EQ(received.back().size(), mbufs[i]->pkt_len);
            rte_pktmbuf_free(mbufs[i]);
        }
        EXPECT_EQ(from.in_use(), 0U);
        return count;
    }
    size_t burst() { return burst(pool); }

    [[nodiscard]] uint64_t drops(Drop reason) const {
        return counters.drops[static_cast<size_t>(reason)].read();
    }
    [[nodiscard]] uint64_t all_drops() const {
        uint64_t sum = 0;
        for (const Counter& counter : counters.drops)
            sum += counter.read();
        return sum;
    }
    /// Checks that the chain just sent is dropped for `reason` and returns with length 0.
    void expect_drop(Drop reason) {
        const uint64_t before = drops(reason);
        EXPECT_EQ(burst(), 0U);
        EXPECT_EQ(drops(reason), before + 1);
        const auto used = rig.driver.take_used();
        ASSERT_TRUE(used);
        EXPECT_EQ(used->len, 0U);
        EXPECT_EQ(rig.driver.take_used(), std::nullopt);
    }
};

TEST_F(FromGuest, FramesOfAllSizes) {
    for (const size_t bytes : std::initializer_list<size_t>{
             14, 60, 64, 1514, 1518, 2047, 2048, 2049, 4096, 9014, 9720}) {
        const auto frame = pattern(bytes, static_cast<unsigned>(bytes));
        send(frame);
        ASSERT_EQ(burst(), 1U) << bytes;
        EXPECT_EQ(received.back(), frame) << bytes;
        // The header is fetched whole, or only the two bytes that matter.
        const size_t header = bytes <= 2048 ? 2 : sizeof(NetHeader);
        EXPECT_EQ(ledger.bytes(), 2 + 2 + 16 + header + bytes) << "every byte once, and no other";
        EXPECT_EQ(rig.driver.take_used()->len, 0U);
    }
    EXPECT_EQ(counters.frames.read(), 11U);
    EXPECT_EQ(all_drops(), 0U);
}

TEST_F(FromGuest, FramesInSmallMbufs) {
    Pool small(256, 64);
    for (const size_t bytes : std::initializer_list<size_t>{14, 63, 64, 65, 128, 129, 9720}) {
        const auto frame = pattern(bytes);
        send(frame);
        ASSERT_EQ(burst(small), 1U);
        EXPECT_EQ(received.back(), frame) << bytes;
    }
}

// Not even the shortest frame fits into one of these.
TEST_F(FromGuest, FramesInTinyMbufs) {
    for (const uint16_t room : {uint16_t{1}, uint16_t{13}, uint16_t{14}, uint16_t{15}}) {
        Pool tiny(256, room);
        for (const size_t bytes : std::initializer_list<size_t>{14, 15, 60}) {
            const auto frame = pattern(bytes);
            send(frame);
            ASSERT_EQ(burst(tiny), 1U);
            EXPECT_EQ(received.back(), frame) << bytes << " bytes, room " << room;
        }
    }
}

TEST_F(FromGuest, NoLengthIsLegal) {
    for (const uint32_t longest : {0U, 1U, 12U, 13U}) {
        send(pattern(60));
        std::array<rte_mbuf*, 1> out;
        EXPECT_EQ(net::from_guest(rig.ring, pool.get(), {longest}, std::span(out), counters), 0U);
        EXPECT_EQ(rig.ring.waiting(), 0U) << "it is dropped";
    }
    EXPECT_EQ(counters.drops[static_cast<size_t>(Drop::too_long)].read(), 4U);
}

// The flag that says where the pool's memory is stays.
TEST_F(FromGuest, MbufsWithPinnedBuffers) {
    constexpr uint16_t kBytes = RTE_PKTMBUF_HEADROOM + 2048;
    std::vector<uint8_t> memory(size_t{16} * kBytes);
    const rte_pktmbuf_extmem place{memory.data(), RTE_BAD_IOVA, memory.size(), kBytes};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // experimental in 22.11
    rte_mempool* const pinned =
        rte_pktmbuf_pool_create_extbuf("pinned", 8, 0, 0, kBytes, SOCKET_ID_ANY, &place, 1);
#pragma GCC diagnostic pop
    ASSERT_NE(pinned, nullptr) << rte_strerror(rte_errno);
    send(pattern(60));
    std::array<rte_mbuf*, 1> out;
    ASSERT_EQ(net::from_guest(rig.ring, pinned, {kLongest}, std::span(out), counters), 1U);
    EXPECT_EQ(out[0]->ol_flags, RTE_MBUF_F_EXTERNAL);
    EXPECT_EQ(content(out[0]), pattern(60));
    rte_pktmbuf_free(out[0]);
    EXPECT_EQ(rte_mempool_in_use_count(pinned), 0U);
    rte_mempool_free(pinned);
}

// Fields that the last user of an mbuf left in it do not leak into the next frame.
TEST_F(FromGuest, UsedMbufs) {
    Pool one(1);
    rte_mbuf* mbuf = rte_pktmbuf_alloc(one.get());
    mbuf->ol_flags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_TX_TCP_SEG;
    mbuf->packet_type = RTE_PTYPE_L4_TCP;
    mbuf->vlan_tci = 7;
    mbuf->data_off = 0;
    mbuf->data_len = 2048;
    mbuf->port = 3;
    rte_pktmbuf_free(mbuf);
    send(pattern(60));
    std::array<rte_mbuf*, 1> out;
    ASSERT_EQ(net::from_guest(rig.ring, one.get(), {kLongest}, std::span(out), counters), 1U);
    EXPECT_EQ(out[0], mbuf);
    EXPECT_EQ(mbuf->ol_flags, 0U);
    EXPECT_EQ(mbuf->packet_type, 0U);
    EXPECT_EQ(mbuf->vlan_tci, 0U);
    EXPECT_EQ(mbuf->data_off, RTE_PKTMBUF_HEADROOM);
    EXPECT_EQ(mbuf->port, RTE_MBUF_PORT_INVALID);
    EXPECT_EQ(content(mbuf), pattern(60));
    rte_pktmbuf_free(mbuf);
}

// Case 66: the driver may split the header at will.
TEST_F(FromGuest, Case66_HeaderOverDescriptors) {
    const auto frame = pattern(60);
    const std::vector<std::vector<uint32_t>> splits = {
        {12}, {1, 11}, {6, 6}, {4, 4, 4}, {11, 2}, {12, 1}, std::vector<uint32_t>(72, 1)};
    for (const auto& split : splits) {
        send(frame, split);
        ASSERT_EQ(burst(), 1U);
        EXPECT_EQ(received.back(), frame);
    }
}

TEST_F(FromGuest, ABurstInOrder) {
    std::vector<std::vector<uint8_t>> sent;
    for (unsigned i = 0; i < 100; ++i) {
        sent.push_back(pattern(14 + i, i));
        // Each frame needs its own memory.
        const Iova at = RingRig::kBuffers + i * Iova{1024};
        rig.memory.store(at, NetHeader{});
        rig.memory.write(at + 12, sent.back().data(), sent.back().size());
        rig.driver.offer({{at, 26 + i, false}});
    }
    rig.driver.publish();
    EXPECT_EQ(burst(pool, 30), 30U);
    EXPECT_EQ(burst(pool, 64), 64U);
    EXPECT_EQ(burst(pool, 200), 6U);
    EXPECT_EQ(received, sent);
    EXPECT_EQ(counters.frames.read(), 100U);
    EXPECT_EQ(counters.bytes.read(), 100U * 14 + 99 * 100 / 2);
}

// Case 57: a chain too short for the virtio-net and Ethernet headers.
TEST_F(FromGuest, Case57_TooShort) {
    for (uint32_t bytes = 1; bytes < 26; ++bytes) {
        send_bytes(bytes);
        expect_drop(Drop::too_short);
    }
    send_bytes(26);
    EXPECT_EQ(burst(), 1U);
}

// Case 74: a chain longer than any legal frame. Nothing of it is copied.
TEST_F(FromGuest, Case74_TooLong) {
    send_bytes(12 + kLongest + 1);
    expect_drop(Drop::too_long);
    EXPECT_LE(ledger.bytes(), 20U);
    constexpr Iova kHuge = 0x10'0000'0000;
    rig.memory.add(kHuge, kHuge + 0xffff'ffff, kReadWrite, 4096);
    ASSERT_EQ(rig.reload(), ring::LoadError::none);
    rig.driver.offer({{kHuge, 0xffffffff, false}});
    rig.driver.publish();
    expect_drop(Drop::too_long);
    send_bytes(12 + kLongest);
    EXPECT_EQ(burst(), 1U);
}

// With `linear`, a frame that does not fit one mbuf is dropped. One that fits passes, however many
// descriptors it has.
TEST_F(FromGuest, LinearFramesAreThoseThatFitIntoAnMbuf) {
    rules.linear = true;
    const auto fits = pattern(Pool::kRoom, 1);
    send(fits);
    EXPECT_EQ(burst(), 1U);
    EXPECT_EQ(received.back(), fits);
    rig.driver.take_used();
    send(fits, {12, 1000, 1});
    EXPECT_EQ(burst(), 1U);
    EXPECT_EQ(received.back(), fits);
    rig.driver.take_used();
    send(pattern(Pool::kRoom + 1));
    expect_drop(Drop::too_long);
    EXPECT_LE(ledger.bytes(), 20U) << "nothing of it is copied";
    send_bytes(12 + kLongest);
    expect_drop(Drop::too_long);
    rules.linear = false;
    send(pattern(Pool::kRoom + 1));
    EXPECT_EQ(burst(), 1U);
    EXPECT_EQ(all_drops(), 2U);
}

// The mbuf of a dropped frame is used for the next frame.
TEST_F(FromGuest, ALongFrameAmongLinearOnes) {
    rules.linear = true;
    Pool one(1);
    const auto frame = pattern(60);
    rig.memory.write(RingRig::kBuffers + 12, frame.data(), frame.size());
    for (const uint32_t bytes : {12U + Pool::kRoom + 1, 72U})
        rig.driver.offer({{RingRig::kBuffers, bytes, false}});
    rig.driver.publish();
    EXPECT_EQ(burst(one), 1U);
    ASSERT_EQ(received.size(), 1U);
    EXPECT_EQ(received[0], frame);
    EXPECT_EQ(drops(Drop::too_long), 1U);
    EXPECT_EQ(counters.no_mbuf.read(), 0U);
    EXPECT_EQ(rig.driver.used_idx(), 2);
}

TEST_F(FromGuest, ThePortIsInTheFirstMbuf) {
    Pool small(8, 256);
    rules.port = 5;
    std::array<rte_mbuf*, 2> out;
    for (const size_t bytes : {60U, 1000U}) {
        send(pattern(bytes));
        ASSERT_EQ(net::from_guest(rig.ring, small.get(), rules, std::span(out), counters), 1U);
        EXPECT_EQ(out[0]->port, 5) << bytes;
        rte_pktmbuf_free(out[0]);
    }
}

// Case 23: chains of the other direction.
TEST_F(FromGuest, Case23_WritableOnly) {
    rig.driver.offer({{RingRig::kBuffers, 2048, true}});
    rig.driver.publish();
    expect_drop(Drop::too_short);
}

TEST_F(FromGuest, WritablePartIsLeftAlone) {
    const Iova at = RingRig::kBuffers;
    const auto frame = pattern(60);
    rig.memory.write(at + 12, frame.data(), frame.size());
    rig.driver.offer({{at, 72, false}, {at + 4096, 64, true}});
    rig.driver.publish();
    ASSERT_EQ(burst(), 1U);
    EXPECT_EQ(received.back(), frame);
    EXPECT_FALSE(ledger.touched(rig.memory.host(at + 4096), 64));
    EXPECT_EQ(rig.driver.take_used()->len, 0U);
}

TEST_F(FromGuest, MalformedChainsAmongGoodOnes) {
    const auto frame = pattern(60);
    send(frame);
    rig.driver.offer({{RingRig::kBuffers, 64, true}, {RingRig::kBuffers, 64, false}});
    rig.driver.offer({{RingRig::kBuffers + 4096, 72, false}});
    rig.driver.publish();
    EXPECT_EQ(burst(), 2U);
    EXPECT_EQ(received.front(), frame);
    EXPECT_EQ(drops(Drop::malformed), 1U);
    EXPECT_EQ(rig.driver.used_idx(), 3);
    for (uint16_t i = 0; i < 3; ++i)
        EXPECT_EQ(rig.driver.take_used()->len, 0U);
}

// Cases 58 to 64: no offload is negotiated, so a header that requests one is bad.
TEST_F(FromGuest, Case58_59_60_ChecksumNotNegotiated) {
    NetHeader header{};
    header.flags = net::kHeaderNeedsCsum;
    // Start in the Ethernet header, odd, correct, at the end, past it; sums of the two that wrap.
    for (const unsigned start : {0U, 13U, 33U, 34U, 58U, 59U, 60U, 61U, 65535U})
        for (const unsigned offset : {0U, 1U, 6U, 16U, 65535U}) {
            header.csum_start = static_cast<uint16_t>(start);
            header.csum_offset = static_cast<uint16_t>(offset);
            // The field of the correct pair (34, 6) is split over two descriptors.
            send(pattern(60), {12 + 41}, header);
            expect_drop(Drop::bad_header);
        }
}

TEST_F(FromGuest, Case63_SegmentationNotNegotiated) {
    for (unsigned type = 1; type < 256; ++type) {
        NetHeader header{};
        header.gso_type = static_cast<uint8_t>(type);
        header.gso_size = type % 2 != 0 ? uint16_t{1448} : uint16_t{0};
        send(pattern(60), {}, header);
        expect_drop(Drop::bad_header);
    }
}

// Cases 65, 67, 72: hints and fields that have no meaning in this direction.
TEST_F(FromGuest, Case65_67_72_IgnoredFields) {
    NetHeader header{};
    header.flags = 0xfe;  // DATA_VALID, RSC_INFO and undefined bits
    header.hdr_len = 65535;
    header.gso_size = 65535;
    header.csum_start = 65535;
    header.csum_offset = 65535;
    header.num_buffers = 65535;
    const auto frame = pattern(60);
    send(frame, {}, header);
    ASSERT_EQ(burst(), 1U);
    EXPECT_EQ(received.back(), frame);
}

// Case 73: wrong headers of upper layers. They are not parsed here: such a frame is like any other.
TEST_F(FromGuest, Case73_FramesThatLie) {
    const auto typed = [](size_t bytes, uint8_t high, uint8_t low) {
        auto frame = pattern(bytes);
        frame[12] = high;
        frame[13] = low;
        return frame;
    };
    std::vector<std::vector<uint8_t>> frames;
    for (uint8_t words = 0; words < 16; ++words) {
        auto ipv4 = typed(60, 0x08, 0x00);
        ipv4[14] = static_cast<uint8_t>(0x40 | words);  // IHL
        ipv4[16] = ipv4[17] = 0xff;                     // total length
        frames.push_back(ipv4);
    }
    auto ipv6 = typed(14 + 40 + 100 * 8, 0x86, 0xdd);
    ipv6[14 + 6] = 0;  // next header: hop-by-hop options, a hundred times
    for (size_t i = 0; i < 100; ++i)
        ipv6[14 + 40 + i * 8] = ipv6[14 + 40 + i * 8 + 1] = 0;
    frames.push_back(ipv6);
    auto tags = typed(60, 0x81, 0x00);
    for (size_t i = 0; i < 8; ++i) {
        tags[12 + i * 4] = 0x81;
        tags[13 + i * 4] = 0x00;
    }
    frames.push_back(tags);
    for (const auto& frame : frames) {
        send(frame);
        std::vector<rte_mbuf*> mbufs(1);
        ASSERT_EQ(net::from_guest(rig.ring, pool.get(), {kLongest}, std::span(mbufs), counters), 1);
        EXPECT_EQ(content(mbufs[0]), frame);
        EXPECT_EQ(mbufs[0]->ol_flags, 0U);
        rte_pktmbuf_free(mbufs[0]);
    }
    EXPECT_EQ(all_drops(), 0U);
}

// Cases 48, 55: header and frame are used as fetched. Later changes by the driver have no effect.
TEST_F(FromGuest, Case48_HeaderRewrittenAfterTheCheck) {
    const auto frame = pattern(60);
    send(frame);
    NetHeader hostile{};
    hostile.flags = net::kHeaderNeedsCsum;
    hostile.gso_type = 1;
    std::vector<rte_mbuf*> mbufs(1);
    ledger.begin();
    // 1 index, 2 heads, 3 descriptor, 4 header
    ledger.after(4, [&] { rig.memory.store(kBuffersEnd - 72, hostile); });
    ASSERT_EQ(net::from_guest(rig.ring, pool.get(), {kLongest}, std::span(mbufs), counters), 1);
    EXPECT_EQ(content(mbufs[0]), frame);
    EXPECT_EQ(mbufs[0]->ol_flags, 0U);
    EXPECT_EQ(ledger.twice(), 0U);
    rte_pktmbuf_free(mbufs[0]);
}

// Case 141: without mbufs nothing is lost, and traffic resumes when mbufs are available again.
TEST_F(FromGuest, Case141_NoMbufs) {
    Pool small(4);
    std::vector<rte_mbuf*> taken(4);
    ASSERT_EQ(rte_pktmbuf_alloc_bulk(small.get(), taken.data(), 4), 0);
    const auto frame = pattern(60);
    send(frame);
    std::vector<rte_mbuf*> mbufs(8);
    EXPECT_EQ(net::from_guest(rig.ring, small.get(), {kLongest}, std::span(mbufs), counters), 0);
    EXPECT_EQ(counters.no_mbuf.read(), 1U);
    EXPECT_EQ(rig.driver.used_idx(), 0) << "the chain is still ours to take";
    rte_pktmbuf_free_bulk(taken.data(), 4);
    EXPECT_EQ(burst(small), 1U);
    EXPECT_EQ(received.back(), frame);
    EXPECT_EQ(all_drops(), 0U);
}

TEST_F(FromGuest, Case141_MbufsRunOutInTheMiddleOfAFrame) {
    Pool small(8, 256);
    const auto frame = pattern(1500);  // 6 mbufs: two frames need more than the pool has
    const Iova first = RingRig::kBuffers;
    for (const Iova at : {first, first + 4096}) {
        rig.memory.write(at + 12, frame.data(), frame.size());
        rig.driver.offer({{at, 1512, false}});
    }
    rig.driver.publish();
    EXPECT_EQ(burst(small), 1U);
    EXPECT_EQ(rig.driver.used_idx(), 1);
    EXPECT_EQ(counters.no_mbuf.read(), 1U);
    EXPECT_EQ(burst(small), 1U);
    EXPECT_EQ(rig.driver.used_idx(), 2);
    EXPECT_EQ(received, (std::vector{frame, frame}));
}

// Two mbufs for five chains: frames arrive a few at a time, rather than never.
TEST_F(FromGuest, Case141_FewerMbufsThanChains) {
    Pool small(2);
    for (Iova i = 0; i < 5; ++i)
        rig.driver.offer({{RingRig::kBuffers + i * 100, 72, false}});
    rig.driver.publish();
    size_t count = 0;
    for (int turn = 0; turn < 5; ++turn)
        count += burst(small);
    EXPECT_EQ(count, 5U);
}

// A frame of many mbufs is followed by more chains than there are mbufs. The frame must not wait
// for mbufs that the burst itself has reserved.
TEST_F(FromGuest, Case141_ALongFrameBeforeMoreChainsThanMbufs) {
    Pool small(8, 256);
    const auto frame = pattern(1500);  // 6 mbufs
    rig.memory.write(RingRig::kBuffers + 12, frame.data(), frame.size());
    rig.driver.offer({{RingRig::kBuffers, 1512, false}});
    for (Iova i = 0; i < 9; ++i)
        rig.driver.offer({{RingRig::kBuffers + 4096 + i * 100, 72, false}});
    rig.driver.publish();
    EXPECT_EQ(burst(small), 3U);
    EXPECT_EQ(received.front(), frame);
    EXPECT_EQ(counters.no_mbuf.read(), 1U);
    EXPECT_EQ(burst(small), 7U);
    EXPECT_EQ(rig.driver.used_idx(), 10);
    EXPECT_EQ(counters.no_mbuf.read(), 1U);
}

// Both the burst and one of its frames run out of mbufs. This counts once.
TEST_F(FromGuest, Case141_ABurstIsPutOffOnce) {
    Pool small(4, 256);
    const auto frame = pattern(1500);  // 6 mbufs, more than the pool has
    rig.memory.write(RingRig::kBuffers + 12, frame.data(), frame.size());
    for (int i = 0; i < 5; ++i)
        rig.driver.offer({{RingRig::kBuffers, 1512, false}});
    rig.driver.publish();
    EXPECT_EQ(burst(small), 0U);
    EXPECT_EQ(counters.no_mbuf.read(), 1U);
    EXPECT_EQ(rig.driver.used_idx(), 0);
}

TEST_F(FromGuest, NothingIsWrittenBehindTheData) {
    Pool one(1);
    rte_mbuf* mbuf = rte_pktmbuf_alloc(one.get());
    auto* room = rte_pktmbuf_mtod(mbuf, uint8_t*);
    std::memset(room, 0xa5, Pool::kRoom);
    rte_pktmbuf_free(mbuf);
    send(pattern(61));
    std::vector<rte_mbuf*> mbufs(1);
    ASSERT_EQ(net::from_guest(rig.ring, one.get(), {kLongest}, std::span(mbufs), counters), 1);
    ASSERT_EQ(rte_pktmbuf_mtod(mbufs[0], uint8_t*), room);
    for (size_t i = 61; i < Pool::kRoom; ++i)
        ASSERT_EQ(room[i], 0xa5);
    rte_pktmbuf_free(mbufs[0]);
}

}  // namespace
}  // namespace vduse::test
