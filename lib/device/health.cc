// SPDX-License-Identifier: BSD-3-Clause

#include "device/health.h"

#include <algorithm>
#include <utility>

namespace vduse::device {
namespace {

/// "pair 3", or "pair 3 and 4 others"; "" if there is none.
std::string named(const std::vector<size_t>& pairs) {
    if (pairs.empty())
        return {};
    std::string text = "pair " + std::to_string(pairs.front());
    if (pairs.size() > 1)
        text += " and " + std::to_string(pairs.size() - 1) + " others";
    return text;
}

uint64_t all_sent(std::span<const PairSample> pairs) {
    uint64_t sent = 0;
    for (const PairSample& pair : pairs)
        sent += pair.sent;
    return sent;
}

}  // namespace

std::vector<std::string> Health::poll(Clock::time_point now, std::span<const PairSample> pairs) {
    next_ = now + kPeriod;
    problems_.clear();
    std::vector<std::string> lines;
    if (!begin_ || before_.size() != pairs.size()) {
        begin_ = now;
        sent_at_begin_ = all_sent(pairs);
        before_.assign(pairs.begin(), pairs.end());
        return lines;
    }
    const bool long_enough = now - *begin_ >= kIdle;
    std::vector<size_t> refused;
    std::vector<size_t> empty;
    for (size_t i = 0; i < pairs.size(); ++i) {
        if (pairs[i].placed != before_[i].placed)
            continue;
        if (pairs[i].refused != before_[i].refused)
            refused.push_back(i);
        else if (pairs[i].offered == 0 && before_[i].offered == 0)
            empty.push_back(i);
    }
    if (!refused.empty()) {
        problems_.push_back(named(refused) + ": frames for the driver find no receive buffers");
        if (!said_refused_ || now - *said_refused_ >= kQuiet) {
            lines.push_back(
                problems_.back() +
                "; usually its interface is down, its guest is stopped, or it has no memory for "
                "buffers"
            );
            said_refused_ = now;
        }
    }
    if (!empty.empty()) {
        problems_.push_back(named(empty) + ": the driver offers no receive buffers");
        if (long_enough && !std::exchange(said_empty_, true))
            lines.push_back(problems_.back() + "; usually its interface is not up");
    }
    const auto offers = [](const PairSample& pair) { return pair.offered != 0; };
    if (!up_since_ && std::any_of(pairs.begin(), pairs.end(), offers))
        up_since_ = now;
    if (up_since_ && all_sent(pairs) == sent_at_begin_) {
        problems_.emplace_back("the driver has sent nothing since it is ready");
        if (now - *up_since_ >= kIdle && !std::exchange(said_silent_, true))
            lines.push_back(
                problems_.back() +
                "; if it should have, a netdev of this host may have no bounce memory left (see "
                "bounce=, and 'Unexpected TXQ' in the kernel's log)"
            );
    }
    before_.assign(pairs.begin(), pairs.end());
    return lines;
}

}  // namespace vduse::device
