// SPDX-License-Identifier: BSD-3-Clause

// Decodes any header with any frame, and completes the frame for each kind of receiver. Also
// completes frames with any Tx flags of an application.
//
// Results are checked by plain arithmetic (support/frames.h): checksums are right, the segments
// together are the frame, and no receiver gets unfinished work that it does not accept.
#include <array>

#include "fuzz/dpdk.h"
#include "net/offload.h"
#include "support/frames.h"

namespace vduse::test {
namespace {

Offloads any_offloads(unsigned bits) {
    return {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
}

FrameSpec any_spec(Input& input) {
    FrameSpec spec;
    spec.ipv4 = input.flag();
    spec.tcp = input.flag();
    const std::array<std::vector<uint16_t>, 5> tags = {
        {{}, {0x8100}, {0x88a8}, {0x88a8, 0x8100}, {0x8100, 0x8100}}};
    spec.tags = tags[input.below(5)];
    spec.options = 8 * size_t{input.below(5)};
    spec.tcp_options = spec.tcp ? 4 * size_t{input.below(11)} : 0;
    spec.tcp_flags = input.byte();
    spec.payload = input.number<uint16_t>() % 3000;
    spec.seed = input.byte();
    return spec;
}

/// A frame that is valid except for a few bytes, or random bytes.
Frame any_frame(Input& input) {
    if (input.below(4) == 3) {
        Frame frame;
        const auto bytes = input.take(14 + input.byte());
        frame.bytes.assign(bytes.begin(), bytes.end());
        frame.bytes.resize(std::max<size_t>(frame.bytes.size(), 14));
        return frame;
    }
    Frame frame = make_frame(any_spec(input));
    for (uint32_t changes = input.below(4); changes != 0; --changes)
        frame.bytes[input.byte() % frame.bytes.size()] = input.byte();
    return frame;
}

net::NetHeader any_header(Input& input, const Frame& frame) {
    net::NetHeader header{};
    header.flags = net::kHeaderNeedsCsum;
    header.csum_start = static_cast<uint16_t>(frame.l4_at());
    header.csum_offset = frame.tcp ? 16 : 6;
    if (input.flag()) {
        header.gso_type = frame.ipv4 ? net::kGsoTcp4 : net::kGsoTcp6;
        header.gso_size = static_cast<uint16_t>(32 + input.number<uint16_t>() % 1500);
    }
    if (input.flag())
        header.gso_type |= net::kGsoEcn;
    if (input.below(4) == 3) {
        const auto bytes = input.take(sizeof header);
        std::memcpy(&header, bytes.data(), bytes.size());
    }
    return header;
}

/// The frames that `mbuf` becomes. Empty if it is refused or the pool is empty.
std::vector<FrameBytes> complete(rte_mbuf* mbuf, const Offloads& offloads, size_t room) {
    Completion completion;
    std::vector<FrameBytes> made;
    if (completion.begin(mbuf, offloads))
        return made;
    std::array<rte_mbuf*, 32> out{};
    while (completion.busy()) {
        const uint16_t count = completion.next(std::span(out).first(room));
        check(count <= room, "no more than there is room for");
        for (uint16_t i = 0; i < count; ++i) {
            check(rte_mbuf_check(out[i], 1, nullptr) == 0, "mbufs are sane");
            check((out[i]->ol_flags & kAskedFlags) == 0, "nothing is asked for any more");
            // A port may flag a frame as LRO without a segment size.
            const bool left = (out[i]->ol_flags & RTE_MBUF_F_RX_LRO) != 0 && out[i]->tso_segsz != 0;
            check(!left || offloads.csum, "a large frame is for who takes it");
            made.push_back(content(out[i]));
            rte_pktmbuf_free(out[i]);
        }
        if (count == 0) {
            completion.abandon();
            return {};
        }
    }
    return made;
}

/// Checks what each kind of receiver gets of `mbuf`, whose content is `bytes`.
void check_receivers(const FrameBytes& bytes, const rte_mbuf& mbuf, size_t room) {
    Unfinished what;
    if (read_unfinished(mbuf, what))
        return;
    for (unsigned bits = 0; bits < 16; ++bits) {
        const Offloads offloads = any_offloads(bits);
        rte_mbuf* copy = rte_pktmbuf_copy(&mbuf, mbuf.pool, 0, UINT32_MAX);
        if (copy == nullptr)
            return;
        copy->tx_offload = mbuf.tx_offload;
        const auto made = complete(copy, offloads, room);
        if (made.empty())
            continue;
        const bool cut = what.segment != 0 && !what.large_for(offloads);
        check(cut == (made.size() > 1), "who does not take large frames gets segments");
        Frame frame;
        frame.l2 = what.l2;
        frame.l3 = what.l3;
        frame.l4 = what.l4;
        frame.ipv4 = what.ipv4;
        frame.tcp = what.tcp;
        if (!cut) {
            check(made[0].size() == bytes.size(), "a frame keeps its length");
            if (!what.csum || offloads.csum) {
                check(made[0] == bytes, "a frame that is left is not changed");
                continue;
            }
            const uint16_t sum =
                plain_sum(made[0], frame.l4_at(), bytes.size(), get16(bytes, frame.field()));
            check(sum == 0xffff || sum == 0, "a sum is right");
            continue;
        }
        FrameBytes payload;
        for (const FrameBytes& segment : made) {
            check(segment.size() > frame.headers(), "a segment has payload");
            check(segment.size() <= frame.headers() + what.segment, "and no more than it may");
            frame.bytes = segment;
            const size_t l4 = segment.size() - frame.l4_at();
            check(
                plain_sum(segment, frame.l4_at(), segment.size(), plain_pseudo(frame, l4)) ==
                    0xffff,
                "a segment's sum is right"
            );
            check(
                !frame.ipv4 || plain_sum(segment, frame.l2, frame.l4_at()) == 0xffff,
                "and that of its IP header"
            );
            payload.insert(
                payload.end(),
                segment.begin() + static_cast<ptrdiff_t>(frame.headers()),
                segment.end()
            );
        }
        check(
            std::equal(
                payload.begin(),
                payload.end(),
                bytes.begin() + static_cast<ptrdiff_t>(frame.headers()),
                bytes.end()
            ),
            "segments put together are the frame"
        );
    }
}

void decode(Input& input) {
    const Frame frame = any_frame(input);
    const net::NetHeader header = any_header(input, frame);
    const Offloads negotiated = any_offloads(~unsigned{input.byte()});
    rte_mbuf* mbuf = pool().frame(frame.bytes, 1 + input.byte() % kMbufRoom);
    if (mbuf == nullptr)
        return;
    net::Decoded decoded;
    const auto drop = net::decode(header, negotiated, *mbuf, decoded);
    check(rte_mbuf_check(mbuf, 1, nullptr) == 0, "mbufs are sane");
    check(negotiated.csum || drop, "nothing without negotiation");
    const FrameBytes after = content(mbuf);
    if (drop || !decoded.finished)
        check(after == frame.bytes, "a frame that is left or dropped is not changed");
    if (!drop) {
        check(decoded.csum != decoded.finished, "it is one of the two");
        check(!decoded.large || decoded.csum, "a large frame leaves its checksum");
        check(decoded.csum == may_be_unfinished(*mbuf), "and says so");
        const size_t end = after.size();
        if (decoded.finished) {
            FrameBytes expected = frame.bytes;
            const size_t start = header.csum_start;
            auto sum = static_cast<uint16_t>(~plain_sum(expected, start, end));
            put16(expected, start + header.csum_offset, sum == 0 ? 0xffff : sum);
            check(after == expected, "a finished sum is right");
        }
        Unfinished what;
        check(!read_unfinished(*mbuf, what), "what was decoded can be read");
        check((what.segment != 0) == decoded.large, "as it was");
        check_receivers(after, *mbuf, 1 + input.below(32));
    }
    rte_pktmbuf_free(mbuf);
}

void ask(Input& input) {
    const Frame frame = any_frame(input);
    rte_mbuf* mbuf = pool().frame(frame.bytes, 1 + input.byte() % kMbufRoom);
    if (mbuf == nullptr)
        return;
    say_lengths(mbuf, frame, 0);
    mbuf->ol_flags = frame.ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
    mbuf->ol_flags |= input.pick<uint64_t>(
        {RTE_MBUF_F_TX_TCP_CKSUM, RTE_MBUF_F_TX_UDP_CKSUM, RTE_MBUF_F_TX_TCP_SEG, 0}
    );
    if (input.flag())
        mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
    if (input.flag())
        mbuf->tso_segsz = input.number<uint16_t>();
    if (input.below(4) == 3) {
        mbuf->ol_flags = input.number<uint64_t>() & ~(RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT);
        mbuf->tx_offload = input.number<uint64_t>();
    }
    check(longest_segment(*mbuf) <= mbuf->pkt_len, "a segment is not longer than its frame");
    complete(mbuf, any_offloads(input.byte()), 1 + input.below(32));
}

}  // namespace
}  // namespace vduse::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
    using namespace vduse::test;
    pool();
    Input input(data, bytes);
    while (!input.empty()) {
        if (input.flag())
            ask(input);
        else
            decode(input);
        check(pool().in_use() == 0, "no mbuf leaks");
    }
    return 0;
}
