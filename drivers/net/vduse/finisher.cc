// SPDX-License-Identifier: BSD-3-Clause

// How it works: the first frame that may be unfinished, and all after it, are moved to `behind_`.
// From there they are delivered one by one, until the burst is full or the pool is empty. Most
// frames need only their own slot, so `behind_` is nearly always emptied at once.
#include "finisher.h"

#include <algorithm>

namespace vduse::pmd {
namespace {

/// Held frames have mbufs, too, and could be all of their pool: then waiting does not help. Some
/// milliseconds of polling.
constexpr uint32_t kPatience = 1U << 16;

bool is_large(const rte_mbuf& frame) noexcept {
    return (frame.ol_flags & RTE_MBUF_F_RX_LRO) != 0;
}

/// Describes what an unfinished frame leaves with the flags of a request (tx flags).
void say_as_asked(rte_mbuf& frame) noexcept {
    Unfinished what;
    if (read_unfinished(frame, what))
        return;
    what.ip_csum = what.ipv4 && what.segment != 0;
    ask(frame, what);
}

}  // namespace

uint16_t Finisher::finish_any(
    std::span<rte_mbuf*> frames, uint16_t polled, RxRules rules, FinisherCounters& counters
) noexcept {
    const auto end = frames.begin() + polled;
    const auto first = std::find_if(frames.begin(), end, [](const rte_mbuf* frame) {
        return may_be_unfinished(*frame);
    });
    std::copy(first, end, behind_.begin());
    next_ = 0;
    count_ = static_cast<uint16_t>(end - first);
    const auto finished = static_cast<uint16_t>(first - frames.begin());
    return static_cast<uint16_t>(
        finished + deliver_held(frames.subspan(finished), rules, counters)
    );
}

uint16_t Finisher::deliver_held(
    std::span<rte_mbuf*> frames, RxRules rules, FinisherCounters& counters
) noexcept {
    uint16_t got = 0;
    while (got < frames.size() && (completion_.busy() || next_ != count_)) {
        const auto room = frames.subspan(got);
        const uint16_t more = completion_.busy() ? complete(room, rules, counters)
                                                 : take(behind_[next_++], room, rules, counters);
        got = static_cast<uint16_t>(got + more);
        if (completion_.busy() && more == 0)
            break;
    }
    const bool starves = got == 0 && !frames.empty() && completion_.busy();
    starved_ = starves ? starved_ + 1 : 0;
    if (starved_ == kPatience)
        counters.dropped.add(completion_.abandon());
    update_held();
    return got;
}

/// Returns the number of frames delivered; the completion may have more.
uint16_t Finisher::take(
    rte_mbuf* frame, std::span<rte_mbuf*> frames, RxRules rules, FinisherCounters& counters
) noexcept {
    const bool unfinished = may_be_unfinished(*frame);
    if (!unfinished || (is_large(*frame) ? rules.large : rules.csum)) {
        if (unfinished && rules.legacy)
            say_as_asked(*frame);
        frames[0] = frame;
        return 1;
    }
    const uint32_t bytes = frame->pkt_len;
    const bool dropped = completion_.begin(frame, Offloads()).has_value();
    if (dropped || completion_.segments() > 1) {
        counters.withheld.add(1);
        counters.withheld_bytes.add(bytes);
    }
    if (dropped) {
        counters.dropped.add(1);
        return 0;
    }
    if (completion_.segments() > 1)
        counters.cut.add(1);
    else
        counters.csum_done.add(completion_.segments());
    return complete(frames, rules, counters);
}

uint16_t Finisher::complete(
    std::span<rte_mbuf*> frames, RxRules rules, FinisherCounters& counters
) noexcept {
    const uint16_t more = completion_.next(frames);
    if (rules.good && completion_.segments() != 0)
        for (rte_mbuf* frame : frames.first(more))
            frame->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    if (completion_.segments() > 1) {
        counters.segments.add(more);
        for (const rte_mbuf* segment : frames.first(more))
            counters.segment_bytes.add(segment->pkt_len);
    }
    return more;
}

void Finisher::drop_held(FinisherCounters& counters) noexcept {
    for (const rte_mbuf* frame : std::span(behind_).subspan(next_, size_t{count_} - next_)) {
        counters.withheld.add(1);
        counters.withheld_bytes.add(frame->pkt_len);
    }
    counters.dropped.add(free_held());
}

uint32_t Finisher::free_held() noexcept {
    const uint32_t behind = uint32_t{count_} - next_;
    if (behind != 0)
        rte_pktmbuf_free_bulk(behind_.data() + next_, behind);
    next_ = count_ = 0;
    starved_ = 0;
    const uint32_t segments = completion_.abandon();
    update_held();
    return behind + segments;
}

void Finisher::update_held() noexcept {
    const auto behind = static_cast<uint16_t>(count_ - next_);
    held_.store(
        static_cast<uint16_t>(behind + (completion_.busy() ? 1 : 0)), std::memory_order_relaxed
    );
}

}  // namespace vduse::pmd
