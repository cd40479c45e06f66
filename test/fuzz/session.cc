// SPDX-License-Identifier: BSD-3-Clause

// A device's life in any order: actions of the kernel, QEMU and the driver, and failing calls.
//
// A ring is honest until the input makes the driver lie. Positions and indexes of honest rings are
// checked. The upper quarter of the driver's memory is not mapped: the device must not touch it.
#include <algorithm>
#include <array>

#include "base/guest.h"
#include "fuzz/device_rig.h"
#include "support/mock_driver.h"
#include "vduse/info.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

using uapi::abi::Request;
using uapi::abi::RequestType;

constexpr uint32_t kQueues = 5;
constexpr memory::Iova kRingStep = 0x800;
constexpr memory::Iova kBuffers = 0x4000;
constexpr memory::Iova kMapped = 0xc000;
constexpr memory::Iova kEnd = 0x1'0000;
constexpr std::byte kCanary{0xa5};

/// The driver's memory. It is reused for all inputs, because mapping it takes longer than all else.
GuestMemory& ram() {
    static GuestMemory memory;
    if (memory.entries().empty())
        memory.add(0, kEnd - 1);
    std::byte* const base = memory.host(0);
    std::memset(base, 0, kMapped);
    std::fill_n(base + kMapped, kEnd - kMapped, kCanary);
    return memory;
}

class Life final : public guest::AccessHook {
  public:
    explicit Life(Input& input) : input_(input), ram_(ram()) { guest::access_hook = this; }
    Life(const Life&) = delete;
    Life& operator=(const Life&) = delete;
    ~Life() {
        guest::access_hook = nullptr;
        if (vd0_.broken)
            rig_.control->run_once(0);
        rig_.kernel.faults.fail("destroy", 0, 1, 0);
        check(static_cast<bool>(rig_.device->destroy()), "a device can be destroyed");
    }

    void play() {
        while (!input_.empty() && !vd0_.broken && !rig_.device->broken()) {
            act();
            check_all();
        }
    }

    /// The driver writes after a fetch.
    void fetched(const void* guest, size_t bytes) noexcept override {
        if (bytes == 0 || !racing_ || input_.byte() < 0xc0)
            return;
        auto* const at = static_cast<uint8_t*>(const_cast<void*>(guest));
        at[input_.byte() % bytes] = input_.byte();
        honest_.fill(false);
    }

  private:
    void act() {
        const uint32_t index = input_.below(kQueues);
        switch (input_.below(16)) {
            case 0:
                return status(input_.pick<uint8_t>({0, 0x08, 0x0c, 0x0b, 0x0f}));
            case 1:
                return features();
            case 2:
                vd0_.ready_delay = input_.below(3);
                vd0_.set_ready(index, !(input_.below(4) == 3));
                return;
            case 3:
                if (input_.flag())
                    vd0_.set_group_asid(input_.below(3), input_.below(3));
                return;
            case 4:
                return map(input_.below(2));
            case 5:
                return set_up(index);
            case 6:
            case 7:
                return offer(index);
            case 8:
                return take(static_cast<uint16_t>(index / 2 % 2));
            case 9:
                return give(static_cast<uint16_t>(index / 2 % 2));
            case 10:
                return lie(index);
            case 11:
                return fail();
            case 12:
                return position(index);
            case 13:
                if (input_.flag())
                    suspended_ = vd0_.suspend() || suspended_;
                return;
            case 14:
                vd0_.kick(index);
                rig_.device->set_link(input_.flag());
                return;
            case 15:
                return start();
        }
    }

    void status(uint8_t value) {
        const bool ok = vd0_.set_status(value);
        if (value != 0)
            return;
        check(ok || vd0_.broken || faults_, "a reset succeeds");
        suspended_ = false;
        rings_ = {};
        honest_ = {};
        resets_ = true;
        check(rig_.device->active_pairs() == 0 || faults_, "no pair is active after a reset");
    }
    void features() {
        const uint64_t offered = rig_.shape.offered;
        const uint64_t without = input_.pick<uint64_t>(
            {0,
             virtio::kFeatureMq,
             virtio::kControlFeatures,
             virtio::kFeatureMergeable,
             virtio::kFeatureEventIdx}
        );
        vd0_.set_features(offered & ~without);
    }
    void map(uint32_t asid) {
        vd0_.unmap_all(asid);
        const auto& backing = *ram_.entries()[0].memory;
        const auto perm = static_cast<uint8_t>(input_.below(4) ^ kReadWrite);
        const memory::Iova end = input_.pick<memory::Iova>({kMapped, kBuffers, kBuffers + 0x123});
        if (input_.below(4) != 3)
            vd0_.map(asid, 0, end - 1, backing.fd(), backing.offset(), perm);
        if (input_.flag() && end < kMapped)
            vd0_.map(asid, end, kMapped - 1, backing.fd(), backing.offset() + end, kReadWrite);
        if (input_.below(4) != 3)
            vd0_.update_iotlb(asid);
    }
    void set_up(uint32_t index) {
        const uint32_t size = input_.pick({16U, 4U, 32U});
        const uint16_t start = input_.pick<uint16_t>({0, 0xfffe, 7});
        const bool event_idx = (vd0_.driver_features & virtio::kFeatureEventIdx) != 0;
        honest_[index] = resets_ && !rings_[index] && !vd0_.vqs[index].ready;
        rings_[index].emplace(
            RingAreas::behind(ram_.address(index * kRingStep), size),
            MockDriver::Options{size, event_idx, start}
        );
        ring::Layout layout = rings_[index]->layout();
        if (input_.below(16) == 15) {
            layout.desc += 16 * input_.byte();
            layout.size = input_.number<uint16_t>();
            honest_[index] = false;
        }
        vd0_.set_vq(index, layout, start);
    }
    /// A normal start of a driver, so that not every input must find one.
    void start() {
        status(0);
        vd0_.set_features(rig_.shape.offered);
        for (const uint32_t asid : {0U, 1U}) {
            const auto& backing = *ram_.entries()[0].memory;
            vd0_.unmap_all(asid);
            vd0_.map(asid, 0, kMapped - 1, backing.fd(), backing.offset(), kReadWrite);
            vd0_.update_iotlb(asid);
        }
        vd0_.set_status(0x0b);
        for (uint32_t i = 0; i < kQueues; ++i)
            set_up(i);
        vd0_.set_status(0x0f);
        for (uint32_t i = 0; i < kQueues; ++i)
            vd0_.set_ready(i);
        vd0_.pump();
        vd0_.pump();
    }

    /// Offers a buffer in the driver's memory, or, on the control queue, a command.
    void offer(uint32_t index) {
        if (!rings_[index])
            return;
        MockDriver& ring = *rings_[index];
        while (ring.take_used()) {
        }
        const memory::Iova offset = 16 * uint64_t{input_.byte()};
        // The highest offsets are just before the end of the mapped memory.
        const memory::Iova at = offset < 0xf00 ? kBuffers + offset : kMapped - 0x1000 + offset;
        if (index + 1 == kQueues) {
            const auto bytes = input_.take(input_.pick<size_t>({3, 4, 8, 10, 16}));
            ram_.write(at, bytes.data(), bytes.size());
            ring.offer({{at, static_cast<uint32_t>(bytes.size()), false}, {at + 64, 1, true}});
        } else {
            ring.offer({{at, input_.number<uint16_t>(), index % 2 == 0}});
        }
        ring.publish();
        vd0_.kick(index);
        vd0_.pump();
    }
    void lie(uint32_t index) {
        if (!rings_[index])
            return;
        honest_[index] = false;
        MockDriver& ring = *rings_[index];
        const auto any = static_cast<uint16_t>(input_.below(ring.size()));
        const memory::Iova at = 16 * uint64_t{input_.number<uint16_t>()};
        switch (input_.below(4)) {
            case 0:
                return ring.write_descriptor(
                    any,
                    {at, input_.number<uint16_t>(), static_cast<uint16_t>(input_.byte() & 7), any}
                );
            case 1:
                return ring.push_head(static_cast<uint16_t>(any + input_.below(2) * ring.size()));
            case 2:
                return ring.write_avail_idx(static_cast<uint16_t>(ring.avail_idx() + input_.byte())
                );
            case 3:
                return ring.write_used_idx(input_.byte());
        }
    }

    void take(uint16_t pair) {
        std::array<rte_mbuf*, 16> frames{};
        racing_ = input_.below(4) == 3;
        const uint16_t count = rig_.device->queue_pair(pair).from_guest(pool().get(), frames);
        racing_ = false;
        check(count == 0 || may_run(), "frames come only from a running driver");
        for (uint16_t i = 0; i < count; ++i)
            check(rte_mbuf_check(frames[i], 1, nullptr) == 0, "mbufs are sane");
        rte_pktmbuf_free_bulk(frames.data(), count);
        vd0_.pump();
    }
    void give(uint16_t pair) {
        std::array<rte_mbuf*, 4> frames{};
        const auto offered = static_cast<uint16_t>(input_.below(5));
        for (uint16_t i = 0; i < offered; ++i)
            frames[i] = pool().frame(pattern(14 + 8 * input_.byte(), i), 256);
        const auto all = std::span<rte_mbuf* const>(frames.data(), offered);
        for (const rte_mbuf* frame : all)
            check(frame != nullptr, "mbufs are back");
        racing_ = input_.below(4) == 3;
        const uint16_t count = rig_.device->queue_pair(pair).to_guest(all);
        racing_ = false;
        check(count <= offered, "no frame is taken that was not offered");
        check(count == 0 || may_run(), "frames go only to a running driver");
        rte_pktmbuf_free_bulk(frames.data() + count, offered - count);
        vd0_.pump();
    }
    [[nodiscard]] bool may_run() const {
        return ((vd0_.status & virtio::kStatusDriverOk) != 0 && !suspended_) || faults_;
    }

    void fail() {
        faults_ = true;
        rig_.kernel.faults.fail(
            input_.pick(
                {"iotlb_region",
                 "vq_info",
                 "vq_kickfd",
                 "vq_setup",
                 "driver_features",
                 "set_config",
                 "inject_irq",
                 "inject_config_irq",
                 "write_response"}
            ),
            input_.pick({EINVAL, EIO, ENOENT, ENOMEM}),
            1 + input_.below(4),
            input_.below(4)
        );
    }
    /// GET_VQ_STATE of an honest ring must return the used index.
    void position(uint32_t index) {
        const auto answered = vd0_.get_vq_state(index);
        if (!answered || faults_ || !rings_[index] || !honest_[index])
            return;
        check(*answered == rings_[index]->used_idx(), "the position is the used index");
    }

    void check_all() {
        check(pool().in_use() == 0, "no mbuf leaks");
        for (uint32_t i = 0; i < kQueues; ++i)
            if (rings_[i] && honest_[i])
                check(
                    static_cast<uint16_t>(rings_[i]->avail_idx() - rings_[i]->used_idx()) <=
                        rings_[i]->size(),
                    "the used index never passes the avail index"
                );
        const std::byte* const rest = ram_.host(kMapped);
        check(
            std::all_of(rest, rest + (kEnd - kMapped), [](std::byte b) { return b == kCanary; }),
            "what is not mapped stays as it is"
        );
        check_counters();
        const DeviceInfo info = rig_.device->info();
        check(info.active_pairs <= info.queue_pairs, "pairs that there are");
        check((info.features & ~rig_.shape.offered) == 0, "features that are offered");
        check(info.refused <= info.commands, "refusals are commands");
    }
    void check_counters() {
        uint64_t sum = 0;
        for (const uint16_t pair : {uint16_t{0}, uint16_t{1}})
            for (const QueueStats& stats :
                 {rig_.device->queue_pair(pair).from_guest_stats(),
                  rig_.device->queue_pair(pair).to_guest_stats()}) {
                uint64_t drops = 0;
                for (const uint64_t drop : stats.drops)
                    drops += drop;
                check(drops == stats.dropped, "drops add up");
                sum += stats.frames + stats.bytes + stats.dropped + stats.no_mbuf;
                sum += stats.interrupts + stats.misses;
            }
        check(sum >= counted_, "counters never go back");
        counted_ = sum;
    }

    Input& input_;
    GuestMemory& ram_;
    DeviceRig rig_;
    FakeDevice& vd0_ = *rig_.vd0;
    std::array<std::optional<MockDriver>, kQueues> rings_;
    std::array<bool, kQueues> honest_{};
    bool resets_ = false;
    bool suspended_ = false;
    bool faults_ = false;
    bool racing_ = false;
    uint64_t counted_ = 0;
};

}  // namespace
}  // namespace vduse::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
    using namespace vduse::test;
    Input input(data, bytes);
    Life(input).play();
    return 0;
}
