// SPDX-License-Identifier: BSD-3-Clause

// A ring that checks every call. It is between net/ and the SplitRing.
//
// The fetches recorded by Race are what the device saw, whatever the driver wrote later. So any
// decision that is not based on the first copy is detected: a segment must be in a descriptor that
// was seen, with its direction, and the heads in the used ring must be those that were seen, in
// order.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "fuzz/world.h"

namespace vduse::test {

class WatchedRing {
  public:
    WatchedRing(World& world, Race& race) : world_(world), race_(race) {}

    uint16_t peek(std::span<ring::Chain> chains) noexcept {
        const bool faulty = begin();
        const uint16_t count = world_.ring.peek(chains);
        check(!faulty || (race_.fetches().empty() && count == 0), "a quarantined ring is not read");
        if (faulty)
            return count;
        look(chains.first(count));
        const uint16_t pending = check_pending(count);
        check(
            count != 0 || pending == 0 || chains.empty() || world_.ring.miss() ||
                world_.ring.fault() != ring::RingFault::none,
            "what is available is seen"
        );
        return count;
    }

    template <memory::Access access>
    ring::Simple peek_simple(std::span<ring::Segment> buffers) noexcept {
        const bool faulty = begin();
        const ring::Simple simple = world_.ring.template peek_simple<access>(buffers);
        check(
            !faulty || (race_.fetches().empty() && simple.count == 0 && !simple.more),
            "a quarantined ring is not read"
        );
        if (faulty)
            return simple;
        std::vector<ring::Chain> found;
        for (const ring::Segment& buffer : buffers.first(simple.count))
            found.push_back(ring::Chain::of(buffer, access));
        look_simple(found);
        const uint16_t pending = check_pending(simple.count);
        check(
            simple.count == pending || simple.more || buffers.empty() ||
                heads_[simple.count] >= world_.ring.size() ||
                world_.ring.fault() != ring::RingFault::none,
            "what is available is seen, or peek_more shows it"
        );
        return simple;
    }

    uint16_t peek_more(std::span<ring::Chain> chains) noexcept {
        // Frames may have been copied since the last peek.
        add_fetched(data_);
        data_at_ = race_.fetches().size();
        const uint16_t count = world_.ring.peek_more(chains);
        look(chains.first(count));
        return count;
    }

    void complete(std::span<const uint32_t> lengths) noexcept {
        ring::SplitRing& ring = world_.ring;
        check(
            completed_ + lengths.size() <= chains_.size(), "only what was peeked at is completed"
        );
        const uint16_t before = ring.position().avail;
        ring.complete(lengths);
        for (size_t i = 0; i < lengths.size(); ++i, ++completed_) {
            const auto at = static_cast<uint16_t>(before + i);
            const ring::UsedElement used = world_.driver.used_at(at);
            check(used.id == heads_[completed_], "a chain goes back by the head that was seen");
            check(used.len == lengths[i], "and with its length");
            check(used.len <= chains_[completed_].writable_bytes, "which fits the chain");
            written_ += lengths[i];
        }
        const auto next = static_cast<uint16_t>(before + lengths.size());
        check(ring.position().avail == next, "the position moves by what was completed");
        check(world_.driver.used_idx() == next, "the used index is the position");
    }

    bool should_interrupt() noexcept { return world_.ring.should_interrupt(); }
    [[nodiscard]] uint32_t size() const noexcept { return world_.ring.size(); }

    /// The chains of the last peek, and the number of them that are completed.
    [[nodiscard]] std::span<const ring::Chain> chains() const { return chains_; }
    [[nodiscard]] size_t completed() const { return completed_; }
    /// The sum of the used lengths of all completed chains.
    [[nodiscard]] uint64_t written() const { return written_; }
    /// The bytes fetched from buffers by this call, in order.
    [[nodiscard]] std::vector<uint8_t> data() const {
        std::vector<uint8_t> bytes = data_;
        add_fetched(bytes);
        return bytes;
    }
    /// Allows the device to write to all writable buffers.
    void excuse_buffers() {
        for (const ring::Chain& chain : chains_)
            for (const ring::Segment& segment : chain.writable())
                world_.excuse(segment.host, segment.bytes);
    }

  private:
    struct Seen {
        memory::Iova at;
        ring::Descriptor descriptor;
    };

    /// Adds what was fetched since the last peek.
    void add_fetched(std::vector<uint8_t>& bytes) const {
        for (const Race::Fetch& fetch : race_.fetches().subspan(data_at_))
            bytes.insert(bytes.end(), fetch.bytes.begin(), fetch.bytes.end());
    }
    /// Forgets the call before. Returns whether the ring is quarantined.
    bool begin() {
        race_.forget();
        heads_.clear();
        descriptors_.clear();
        chains_.clear();
        avail_seen_.clear();
        data_.clear();
        data_at_ = 0;
        completed_ = 0;
        followed_ = 0;
        held_.reset();
        return world_.ring.fault() != ring::RingFault::none;
    }
    /// Checks the count of a call that began, and returns how many chains are available.
    uint16_t check_pending(uint16_t count) {
        const ring::SplitRing& ring = world_.ring;
        const auto pending = static_cast<uint16_t>(seen_idx_ - ring.position().avail);
        const bool jumped = pending > ring.size();
        check(jumped == (ring.fault() == ring::RingFault::avail_jump), "a jump is a fault");
        check(count <= (jumped ? 0 : pending), "no chain before it is made available");
        return jumped ? uint16_t{0} : pending;
    }

    /// Checks what peek_simple fetched: heads, then the descriptors of the chains found, and that
    /// of the next chain, if it is not simple.
    void look_simple(std::span<const ring::Chain> found) {
        understand();
        const memory::Iova table = world_.driver.layout().desc;
        check(
            descriptors_.size() == found.size() || descriptors_.size() == found.size() + 1,
            "no descriptor is fetched after one that is not simple"
        );
        for (size_t i = 0; i < descriptors_.size(); ++i)
            check(
                i < heads_.size() && heads_[i] < world_.ring.size() &&
                    descriptors_[i].at == table + sizeof(ring::Descriptor) * heads_[i],
                "first descriptors are fetched in order"
            );
        if (descriptors_.size() > found.size())
            held_ = descriptors_.back();
        followed_ = descriptors_.size();
        add(found);
    }

    /// Checks what a peek, or peek_more, fetched to find these chains.
    void look(std::span<const ring::Chain> found) {
        const size_t known = descriptors_.size();
        understand();
        const auto descriptors = std::span(descriptors_).subspan(known);
        if (!found.empty() || !descriptors.empty())
            check_order(descriptors);
        add(found);
    }

    void add(std::span<const ring::Chain> found) {
        for (const ring::Chain& chain : found)
            check_chain(chain);
        chains_.insert(chains_.end(), found.begin(), found.end());
        data_at_ = race_.fetches().size();
    }

    /// Classifies the fetches of a peek: the index, the heads, then descriptors. A descriptor that
    /// crosses regions is fetched in parts.
    void understand() {
        const size_t known = descriptors_.size();
        const std::byte* const avail = world_.driver.areas().avail.host;
        const uint32_t avail_length =
            ring::avail_bytes(world_.ring.size(), world_.options.event_idx);
        std::vector<uint8_t> part;
        memory::Iova part_end = 0;
        for (const Race::Fetch& fetch : race_.fetches().subspan(data_at_)) {
            // The avail ring is only read to find chains, unless a table overlaps it.
            const bool in_avail = fetch.host >= avail && fetch.host < avail + avail_length;
            if (in_avail && descriptors_.size() == known && part.empty()) {
                for (size_t i = 0; i < fetch.bytes.size(); i += 2)
                    avail_seen_.push_back(fetch.host + i);
                const auto* values = fetch.bytes.data();
                for (size_t i = 0; i < fetch.bytes.size(); i += 2) {
                    const auto value = static_cast<uint16_t>(values[i] | values[i + 1] << 8);
                    if (fetch.host == avail + ring::kIdxOffset)
                        seen_idx_ = value;
                    else
                        heads_.push_back(value);
                }
                continue;
            }
            const memory::Iova at = world_.iova_of(fetch.host);
            if (at != part_end)
                part.clear();
            part.insert(part.end(), fetch.bytes.begin(), fetch.bytes.end());
            part_end = at + fetch.bytes.size();
            check(part.size() <= sizeof(ring::Descriptor), "descriptors are fetched one by one");
            if (part.size() == sizeof(ring::Descriptor)) {
                Seen& entry = descriptors_.emplace_back();
                std::memcpy(&entry.descriptor, part.data(), part.size());
                entry.at = part_end - part.size();
                part.clear();
                part_end = 0;
            }
        }
        std::sort(avail_seen_.begin(), avail_seen_.end());
        check(
            std::adjacent_find(avail_seen_.begin(), avail_seen_.end()) == avail_seen_.end(),
            "nothing of the avail ring is fetched twice"
        );
        check(
            descriptors_.size() <= (heads_.size() + 1) * (size_t{world_.ring.size()} + 1),
            "no chain is longer than the ring"
        );
    }

    /// A walk along one chain, based on the descriptors that were seen.
    struct Walk {
        ring::Descriptor descriptor;
        memory::Iova table;
        bool indirect = false;

        /// The address of the next descriptor, or nothing if this is the last one.
        [[nodiscard]] std::optional<memory::Iova> next() const {
            if (!indirect && (descriptor.flags & ring::kDescIndirect) != 0)
                return descriptor.addr;
            if ((descriptor.flags & ring::kDescNext) == 0)
                return std::nullopt;
            return table + sizeof(ring::Descriptor) * uint64_t{descriptor.next};
        }
        void go(const ring::Descriptor& seen) {
            if (!indirect && (descriptor.flags & ring::kDescIndirect) != 0) {
                indirect = true;
                table = descriptor.addr;
            }
            descriptor = seen;
        }
    };

    /// Checks the order of fetches: the first descriptors of the next heads, and then the rest of
    /// each chain in turn. A chain may end early.
    void check_order(std::span<const Seen> descriptors) {
        const memory::Iova table = world_.driver.layout().desc;
        std::vector<Walk> walks;
        if (held_)
            walks.push_back({held_->descriptor, table});
        held_.reset();
        size_t first = 0;
        for (; followed_ < heads_.size() && first < descriptors.size(); ++followed_, ++first) {
            const uint16_t head = heads_[followed_];
            if (head >= world_.ring.size() ||
                descriptors[first].at != table + sizeof(ring::Descriptor) * head)
                break;
            walks.push_back({descriptors[first].descriptor, table});
        }
        size_t walk = 0;
        for (const Seen& seen : descriptors.subspan(first)) {
            while (walk < walks.size() && walks[walk].next() != seen.at)
                ++walk;
            check(walk < walks.size(), "a descriptor is fetched because the one before names it");
            walks[walk].go(seen.descriptor);
        }
    }

    void check_chain(const ring::Chain& chain) {
        if (!chain.good)
            return check(
                chain.readable_segments + chain.writable_segments + chain.readable_bytes +
                        chain.writable_bytes ==
                    0,
                "a malformed chain is empty"
            );
        check_segments(chain.readable(), chain.readable_bytes, memory::Access::read);
        check_segments(chain.writable(), chain.writable_bytes, memory::Access::write);
    }
    void check_segments(
        std::span<const ring::Segment> segments, uint64_t bytes, memory::Access access
    ) {
        const bool writable = access == memory::Access::write;
        for (const ring::Segment& segment : segments) {
            const memory::Region& region = world_.region_of(segment.host);
            const memory::Iova first = world_.iova_of(segment.host);
            check(region.allows(access), "a segment has the permission that it needs");
            check(segment.bytes - 1 <= region.last - first, "a segment lies in one region");
            const auto holds = [&](const Seen& entry) {
                const ring::Descriptor& d = entry.descriptor;
                return ((d.flags & ring::kDescWrite) != 0) == writable && first >= d.addr &&
                       first - d.addr < d.len && segment.bytes <= d.len - (first - d.addr);
            };
            check(
                std::any_of(descriptors_.begin(), descriptors_.end(), holds),
                "a segment lies in a descriptor as it was first seen"
            );
            bytes -= segment.bytes;
        }
        check(bytes == 0, "the lengths of segments add up");
    }

    World& world_;
    Race& race_;
    uint16_t seen_idx_ = 0;
    std::vector<uint16_t> heads_;
    std::vector<Seen> descriptors_;
    std::vector<ring::Chain> chains_;
    std::vector<const std::byte*> avail_seen_;
    size_t followed_ = 0;       ///< heads whose descriptors were looked for
    std::optional<Seen> held_;  ///< the first descriptor of the next chain
    size_t completed_ = 0;
    std::vector<uint8_t> data_;  ///< fetched from buffers before the last peek of this call
    size_t data_at_ = 0;
    uint64_t written_ = 0;
};

static_assert(ring::DeviceRing<WatchedRing>);

}  // namespace vduse::test
