// SPDX-License-Identifier: BSD-3-Clause

// Hostile drivers, kernels and data threads against a device in service (doc/hostile-cases.md):
// unusable rings, memory that is removed, kicks and messages at odd moments, neighbours.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/guest.h"
#include "device/session.h"
#include "net/counters.h"
#include "support/fetch_ledger.h"
#include "support/session_rig.h"
#include "support/temporary_folder.h"
#include "vduse/drop.h"

namespace vduse::test {
namespace {

using namespace virtio;
using ring::kDescIndirect;
using ring::kDescNext;
using uapi::abi::Request;
using uapi::abi::RequestType;
using uapi::abi::Response;

class HostileSession : public SessionTest {
  protected:
    [[nodiscard]] uint64_t from_guest_drops(Drop reason) const {
        return device->queue_pair(0).from_guest_stats().drops[static_cast<size_t>(reason)];
    }
};

// DRIVER_OK is answered OK, but the queue is not started: its addresses may still be set or changed
// with the queue's own messages.
TEST_F(HostileSession, Case36_RingsThatCannotWork) {
    ASSERT_EQ(create(), "");
    const ring::Layout bad[] = {
        {64, 0x20008, 0x20400, 0x20600},        // misaligned
        {64, 0x20000, 0x20400, 0x20400},        // overlapping
        {64, 0x20000, 0x20400, kRam - 256},     // partly mapped
        {64, kRam, kRam + 0x400, kRam + 0x600}  // not mapped
    };
    for (const ring::Layout& layout : bad) {
        plain_start(kBase, [&] { vd0->set_vq(1, layout); });
        EXPECT_FALSE(frame_from_guest(0)) << layout.desc;
        EXPECT_TRUE(frame_to_guest(0)) << "the other queue runs";
    }
    plain_start();
    EXPECT_TRUE(traffic(0));
}

// One buffer of a frame becomes read-only. Then nothing of the frame is written. The buffers
// gathered for it return empty, and later frames use the good ones.
TEST_F(HostileSession, Case70_PermissionTakenFromABuffer) {
    ASSERT_EQ(create(), "");
    plain_start(kBase | kFeatureMergeable);
    GuestMemory more;
    const AddressPair at = more.add_bytes(0x5000'0000, 0x1000);
    const int fd = more.entries()[0].memory->fd();
    const auto offer = [&] {
        for (const Iova buffer : {kBuffers, at.iova, kBuffers + 0x1000})
            ring(0).offer({{buffer, 40, true}});
        ring(0).publish();
    };
    const auto allow = [&](uint8_t perm) {
        vd0->unmap(0, at.iova);
        vd0->map(0, at.iova, at.iova + 0xfff, fd, 0, perm);
        EXPECT_TRUE(vd0->update_iotlb(0));
    };
    allow(kReadWrite);
    offer();
    EXPECT_EQ(give(0), 1U) << "60 bytes and the header fill two buffers";
    EXPECT_EQ(ring(0).take_used()->len, 40U);
    EXPECT_EQ(ring(0).take_used()->len, 32U);

    const auto drops = [&](Drop reason) {
        return device->queue_pair(0).to_guest_stats().drops[static_cast<size_t>(reason)];
    };
    allow(kRead);
    std::memset(at.host, 0xee, 40);
    offer();  // after the unused third buffer of the first offer
    EXPECT_EQ(give(0), 1U) << "in the two good ones in front";
    EXPECT_EQ(ring(0).take_used()->len, 40U);
    EXPECT_EQ(ring(0).take_used()->len, 32U);
    ring(0).offer({{kBuffers + 0x2000, 40, true}});
    ring(0).publish();
    EXPECT_EQ(give(0), 1U) << "the malformed one goes back, two good ones behind it are enough";
    EXPECT_EQ(drops(Drop::malformed), 1U);
    EXPECT_EQ(ring(0).take_used()->len, 0U);
    EXPECT_EQ(ring(0).take_used()->len, 40U);
    EXPECT_EQ(ring(0).take_used()->len, 32U);

    offer();
    EXPECT_EQ(give(0), 1U) << "taken and dropped: the second buffer is of no use";
    EXPECT_EQ(drops(Drop::no_room), 1U);
    EXPECT_EQ(ring(0).take_used()->len, 0U);
    EXPECT_EQ(ring(0).take_used(), std::nullopt);
    for (size_t i = 0; i < 40; ++i)
        EXPECT_EQ(at.host[i], std::byte{0xee});
    EXPECT_EQ(device->queue_pair(0).to_guest_stats().frames, 3U);
}

// ---- kicks and messages

// Any number of kicks is one event. A message is answered in the same turn.
TEST_F(HostileSession, Case79_KickStorm) {
    ASSERT_EQ(create(), "");
    qemu_start();
    for (int round = 0; round < 50; ++round) {
        for (int kick = 0; kick < 1000; ++kick) {
            vd0->kick(4);
            vd0->kick(1);
            control->wake();
        }
        Request request{};
        request.type = static_cast<uint32_t>(RequestType::get_vq_state);
        const uint32_t id = vd0->queue(request);
        control->run_once(0);
        EXPECT_TRUE(vd0->answer(id));
    }
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
    EXPECT_TRUE(traffic(0));
}

TEST_F(HostileSession, Case80_100_KicksForNobody) {
    ASSERT_EQ(create(), "");
    EXPECT_TRUE(vd0->set_status(0));
    vd0->set_features(kWithMq);
    EXPECT_TRUE(vd0->set_status(0x08));
    EXPECT_TRUE(vd0->set_group_asid(1, 1));
    vd0->map(1, shadow);
    EXPECT_TRUE(vd0->update_iotlb(1));
    set_up_shadow(4);
    EXPECT_TRUE(vd0->set_ready(4));
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0xffU) << "nothing is served before DRIVER_OK";
    EXPECT_EQ(device->info().commands, 0U);
    EXPECT_TRUE(vd0->set_status(0x0c));
    settle();
    EXPECT_EQ(device->info().commands, 1U);

    const UniqueFd kickfd(::dup(vd0->vqs[4].kickfd.get()));
    ASSERT_TRUE(kickfd);
    EXPECT_TRUE(vd0->set_status(0));
    ring(4).offer({{command_at.iova, 4, false}, {ack_at.iova, 1, true}});
    ring(4).publish();
    raise_eventfd(kickfd.get());
    settle();
    EXPECT_EQ(ring(4).used_idx(), 1) << "nor after a reset";
    uint64_t kicks = 0;
    EXPECT_EQ(::read(kickfd.get(), &kicks, sizeof kicks), -1);
    EXPECT_EQ(errno, EAGAIN) << "drained, or control would spin";
}

// A device can be destroyed while messages are unread. Its name can be used again.
TEST_F(HostileSession, Case117_DestroyedWhileMessagesWait) {
    ASSERT_EQ(create(), "");
    plain_start();
    Request request{};
    request.type = static_cast<uint32_t>(RequestType::set_status);
    for (const uint8_t status : {uint8_t{0}, uint8_t{3}, uint8_t{0}}) {
        request.status = status;
        vd0->queue(request);
    }
    EXPECT_TRUE(device->destroy());
    EXPECT_EQ(kernel.device("vd0"), nullptr);
    device.reset();
    control->run_once(0);
    ASSERT_EQ(create(), "");
    plain_start();
    EXPECT_TRUE(traffic(0));

    // If the device is on the vDPA bus, the kernel keeps it and its messages for the next process.
    request.status = 3;
    const uint32_t id = vd0->queue(request);
    vd0->on_bus = true;
    const auto busy = device->destroy();
    ASSERT_FALSE(busy);
    EXPECT_EQ(busy.error().code, EBUSY);
    EXPECT_FALSE(vd0->open);
    EXPECT_EQ(vd0->answer(id), std::nullopt);
    EXPECT_FALSE(traffic(0)) << "nothing is served without its node";
}

// A move after DRIVER_OK is done by the usual mechanism: the queues of the group stop, and start in
// the new space if their rings are mapped there.
TEST_F(HostileSession, Case118_GroupMovesWhileItRuns) {
    ASSERT_EQ(create(), "");
    qemu_start();
    EXPECT_TRUE(vd0->set_group_asid(0, 1));
    EXPECT_FALSE(frame_from_guest(0)) << "its ring is not there";
    EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U) << "the other group";
    EXPECT_TRUE(vd0->set_group_asid(0, 0));
    settle();
    EXPECT_EQ(take(0), 1U) << "goes on where it was";
    EXPECT_TRUE(traffic(0));
    EXPECT_TRUE(traffic(1));
}

// Bad chains are counted. No line is logged for them.
TEST_F(HostileSession, Case147_NoLineForAChain) {
    ASSERT_EQ(create(), "");
    plain_start();
    testing::internal::CaptureStderr();
    for (uint16_t i = 0; i < 1000; ++i) {
        const auto at = static_cast<uint16_t>(i % 64);
        const bool loop = i % 2 == 0;
        ring(1).write_descriptor(
            at, {loop ? kBuffers : 0x5000'0000U + i, 64, loop ? kDescNext : uint16_t{0}, at}
        );
        ring(1).push_head(at);
        take(0);
        settle();
        take(0);
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
    EXPECT_EQ(from_guest_drops(Drop::malformed), 1000U);
    EXPECT_EQ(device->queue_pair(0).from_guest_stats().misses, 500U);
}

// A driver unmaps its rings again and again: at most one line a second is logged for a queue.
TEST_F(HostileSession, Case147_OneLineASecondForAQueue) {
    ASSERT_EQ(create(), "");
    testing::internal::CaptureStderr();
    const auto start = std::chrono::steady_clock::now();
    plain_start();
    for (int i = 0; i < 100; ++i) {
        vd0->unmap_all(0);
        EXPECT_TRUE(vd0->update_iotlb(0));
        map_guest();
        settle();
        EXPECT_TRUE(traffic(0));
        EXPECT_TRUE(ring(1).take_used());
    }
    const auto seconds =
        std::chrono::ceil<std::chrono::seconds>(std::chrono::steady_clock::now() - start);
    const std::string log = testing::internal::GetCapturedStderr();
    long lines = 0;
    for (size_t at = 0; (at = log.find("queue 1 not started", at)) != log.npos; ++at)
        ++lines;
    EXPECT_GE(lines, 1) << "the first is written";
    EXPECT_LE(lines, seconds.count());
}

// ---- neighbours

/// A device of the same process with its own memory, which is not attacked.
class Neighbour {
  public:
    Neighbour(FakeKernel& kernel, Control& control, Pool& pool) : pool_(pool) {
        DeviceConfig config;
        config.name = "vd1";
        auto added = control.add(config);
        EXPECT_TRUE(added);
        device_ = std::move(*added);
        FakeDevice& vd1 = *kernel.device("vd1");
        vd1.pump = [&control] { control.run_once(0); };
        memory_.add_bytes(0, 0x100000);
        vd1.set_features(kFeatureVersion1 | kFeatureAccessPlatform);
        EXPECT_TRUE(vd1.set_status(0x0b));
        vd1.map(0, memory_);
        EXPECT_TRUE(vd1.update_iotlb(0));
        for (const uint32_t index : {0U, 1U}) {
            rings_.emplace_back(
                RingAreas::behind(memory_.address(index * 0x10000), 64),
                MockDriver::Options{.size = 64}
            );
            vd1.set_vq(index, rings_[index].layout());
        }
        EXPECT_TRUE(vd1.set_status(0x0f));
        for (const uint32_t index : {0U, 1U})
            EXPECT_TRUE(vd1.set_ready(index));
        for (int turn = 0; turn < 10; ++turn)
            control.run_once(0);
    }
    /// Sends a frame in each direction.
    bool traffic() {
        rings_[1].offer({{0x80000, 72, false}});
        rings_[1].publish();
        rte_mbuf* frame = nullptr;
        const bool from = device_->queue_pair(0).from_guest(pool_.get(), std::span(&frame, 1)) == 1;
        rings_[0].offer({{0x90000, 2048, true}});
        rings_[0].publish();
        const bool to = from && device_->queue_pair(0).to_guest(std::span(&frame, 1)) == 1;
        if (from && !to)
            rte_pktmbuf_free(frame);
        const auto sent = rings_[1].take_used();
        const auto received = rings_[0].take_used();
        return to && sent && received && received->len == 72;
    }
    [[nodiscard]] uint64_t dropped() const {
        return device_->queue_pair(0).from_guest_stats().dropped +
               device_->queue_pair(0).to_guest_stats().dropped;
    }

  private:
    Pool& pool_;
    GuestMemory memory_;
    std::unique_ptr<Device> device_;
    std::vector<MockDriver> rings_;
};

TEST_F(HostileSession, Case145_NeighboursDoNotNotice) {
    ASSERT_EQ(create(), "");
    Neighbour neighbour(kernel, *control, pool);
    const auto chain = [this](ring::Descriptor descriptor) {
        ring(1).write_descriptor(0, descriptor);
        ring(1).push_head(0);
    };
    const std::vector<std::function<void()>> attacks = {
        [&] { ring(1).push_head(64); },
        [&] { ring(1).write_avail_idx(9999); },
        [&] {
            chain({kBuffers, 64, kDescNext, 0});
        },
        [&] {
            chain({kBuffers, 64, kDescNext, 64});
        },
        [&] {
            chain({0x5000'0000, 64, 0, 0});
        },
        [&] {
            chain({~uint64_t{0}, 64, 0, 0});
        },
        [&] {
            chain({kBuffers, 0xffffffff, 0, 0});
        },
        [&] {
            chain({kBuffers, 64, kDescIndirect, 0});
        },
        [&] { vd0->vqs[1].num = 3; },
        [&] { vd0->unmap_all(0); },
        [&] { EXPECT_FALSE(vd0->update_iotlb(7)); },
        [&] { EXPECT_TRUE(vd0->set_status(0xff)); },
        [&] { vd0->give_up(); },
    };
    for (size_t i = 0; i < attacks.size(); ++i) {
        plain_start();
        EXPECT_TRUE(traffic(0)) << "the one before " << i << " is forgotten with a reset";
        attacks[i]();
        for (int turn = 0; turn < 3; ++turn) {
            take(0);
            EXPECT_TRUE(neighbour.traffic()) << i;
            EXPECT_TRUE(vd0->broken || vd0->update_iotlb(0));
            settle();
        }
    }
    EXPECT_EQ(neighbour.dropped(), 0U);
}

// The owner of guest memory truncates its file while it is mapped. Its queues stop; the process
// lives on.
TEST_F(HostileSession, Case127_MemoryCutOff) {
    ASSERT_EQ(create(), "");
    Neighbour neighbour(kernel, *control, pool);
    device->set_link(true);
    plain_start();
    GuestMemory more;
    const AddressPair at = more.add_bytes(0x5000'0000, 0x4000);
    vd0->map(0, more);
    EXPECT_TRUE(vd0->update_iotlb(0));
    EXPECT_TRUE(frame_from_guest(0, at.iova));
    ASSERT_EQ(::ftruncate(more.entries()[0].memory->fd(), 0), 0);
    offer_from_guest(0, at.iova);
    EXPECT_EQ(take(0), 1U) << "zeros";
    settle();
    EXPECT_FALSE(device->info().link_up);
    EXPECT_FALSE(frame_from_guest(0)) << "from memory that is still there";
    EXPECT_EQ(give(0), 0U);
    EXPECT_TRUE(vd0->update_iotlb(0));
    EXPECT_FALSE(frame_from_guest(0)) << "until a reset";
    EXPECT_FALSE(device->broken());
    EXPECT_TRUE(neighbour.traffic());
    EXPECT_EQ(neighbour.dropped(), 0U);
    plain_start();
    EXPECT_TRUE(device->info().link_up);
    EXPECT_TRUE(traffic(0));
}

// ---- memory that changes under traffic

/// Makes every fetch of a thread slow, so that other threads find it inside a burst.
struct Dawdling final : guest::AccessHook {
    Dawdling() { guest::access_hook = this; }
    ~Dawdling() { guest::access_hook = nullptr; }
    void fetched(const void* /*guest*/, size_t /*bytes*/) noexcept override {
        std::this_thread::yield();
    }
};

// A thread that polls a suspended queue enters its gate only briefly each time. That does not count
// as being inside.
TEST_F(HostileSession, PositionsWhileAThreadPolls) {
    ASSERT_EQ(create(), "");
    qemu_start();
    std::atomic<bool> stop = false;
    std::thread data([&] {
        while (!stop)
            take(0);
    });
    EXPECT_TRUE(vd0->suspend());
    unsigned refused = 0;
    for (unsigned i = 0; i < 5000; ++i)
        refused += vd0->get_vq_state(1) ? 0 : 1;
    stop = true;
    data.join();
    EXPECT_EQ(refused, 0U);
    settle();
}

// A data thread runs all the time while control maps and unmaps guest memory and changes the number
// of pairs. An access to a released mapping traps, so frames that pass prove that no mapping is
// used too long.
TEST_F(HostileSession, Case96_123_124_148_ChangesUnderTraffic) {
    ASSERT_EQ(create(), "");
    qemu_start();
    std::atomic<bool> stop = false;
    std::atomic<uint64_t> received = 0;
    std::thread data([&] {
        const Dawdling dawdling;
        while (!stop) {
            for (const uint16_t pair : {uint16_t{0}, uint16_t{1}}) {
                received += take(pair);
                give(pair);
            }
        }
    });
    const int fd = guest.entries()[0].memory->fd();
    const auto used = [this] {
        std::array<uint16_t, 4> indices{};
        for (uint32_t i = 0; i < 4; ++i)
            indices[i] = ring(i).used_idx();
        return indices;
    };
    std::array<uint16_t, 4> when_answered{};
    vd0->on_response = [&](const Request& request, const Response&) {
        if (request.type == static_cast<uint32_t>(RequestType::update_iotlb))
            when_answered = used();
    };
    unsigned touched = 0;
    uint64_t returned = 0;
    uint64_t frames = 0;
    uint64_t offered = 0;
    for (unsigned round = 0; round < 400 || received == 0; ++round) {
        for (const uint16_t pair : {uint16_t{0}, uint16_t{1}}) {
            if (ring(2U * pair + 1).offer({{kBuffers, 72, false}}))
                ++offered;
            ring(2U * pair + 1).publish();
            ring(2U * pair).offer({{kBuffers + 0x10000, 2048, true}});
            ring(2U * pair).publish();
            while (ring(2U * pair + 1).take_used())
                ++returned;
            while (ring(2U * pair).take_used()) {
            }
        }
        if (round % 4 < 2)
            vd0->unmap_all(0);
        else if (vd0->spaces[0].empty())
            vd0->map(0, guest);
        EXPECT_TRUE(vd0->update_iotlb(0));
        // Pause while memory is mapped, too: otherwise the data thread may never run then.
        std::this_thread::sleep_for(std::chrono::microseconds(100));
        if (vd0->spaces[0].empty())
            touched += used() != when_answered ? 1 : 0;
        const auto pairs = static_cast<uint8_t>(1 + round / 16 % 2);
        EXPECT_TRUE(round % 16 != 0 || command(4, {4, 0, pairs, 0}) == 0);
        const uint64_t before = frames;
        frames = device->queue_pair(0).from_guest_stats().frames +
                 device->queue_pair(1).from_guest_stats().frames;
        EXPECT_GE(frames, before);
    }
    if (vd0->spaces[0].empty())
        map_guest();
    while (received != offered)
        std::this_thread::yield();
    stop = true;
    data.join();
    for (const uint32_t index : {1U, 3U})
        while (ring(index).take_used())
            ++returned;
    EXPECT_EQ(returned, offered) << "each chain once";
    EXPECT_EQ(
        device->queue_pair(0).from_guest_stats().dropped +
            device->queue_pair(1).from_guest_stats().dropped,
        0U
    );
    EXPECT_EQ(touched, 0U) << "what was taken away is not touched after the answer";
    settle();
    EXPECT_EQ(mappings_of(fd).size(), 2U);
}

/// A Session without Control, with its own allocator and a short timeout.
class BareSession : public SessionTest {
  protected:
    using Frames = std::vector<std::vector<uint8_t>>;
    static constexpr std::chrono::milliseconds kTimeout{50};

    HeapAllocator allocator;
    UniqueFd wake{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    std::unique_ptr<device::Session> session;

    DeviceConfig config = two_pairs();

    void SetUp() override { make(); }
    void make() {
        auto made = device::Session::create(kernel, config, allocator, wake.get(), kTimeout);
        ASSERT_TRUE(made);
        session = std::move(*made);
        vd0 = kernel.device("vd0");
        vd0->pump = [&] {
            session->handle_messages();
            session->tick();
        };
    }
    void TearDown() override {
        session.reset();
        EXPECT_EQ(allocator.live, 0);
    }
    /// The frames of one from_guest burst of pair 0.
    Frames burst() {
        std::array<rte_mbuf*, 8> mbufs;
        const uint16_t count = session->parts().queues[1].from_guest(pool.get(), mbufs, {});
        Frames frames;
        for (rte_mbuf* mbuf : std::span(mbufs).first(count)) {
            frames.push_back(content(mbuf));
            rte_pktmbuf_free(mbuf);
        }
        return frames;
    }
};

// Messages that arrive while a data thread is inside a burst wait for its end, and are answered in
// order. The burst sees one snapshot of memory from first to last byte.
TEST_F(BareSession, Case115_126_MessagesInTheMiddleOfABurst) {
    plain_start();
    const Iova at = 0x5000'0000;
    GuestMemory before;
    GuestMemory after;
    before.add_bytes(at, 0x1000);
    after.add_bytes(at, 0x1000, kRead);
    std::memset(before.host(at), 1, 0x1000);
    std::memset(after.host(at), 2, 0x1000);
    std::memset(before.host(at), 0, 12);  // virtio-net headers
    std::memset(before.host(at + 0x200), 0, 12);
    std::memset(after.host(at), 0, 12);
    vd0->map(0, before);
    EXPECT_TRUE(vd0->update_iotlb(0));
    offer_from_guest(0, at);
    offer_from_guest(0, at + 0x200);

    std::atomic<bool> inside = false;
    Frames frames;
    std::atomic<bool> left = false;
    std::thread data([&] {
        FetchLedger ledger;
        // 1 index, 2 heads, 3 and 4 descriptors, 5 the first header
        ledger.after(5, [&] {
            inside = true;
            while (session->parts().queues[1].gate.is_open())
                std::this_thread::yield();
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            left = true;
        });
        frames = burst();
    });
    while (!inside)
        std::this_thread::yield();
    vd0->unmap(0, at);
    vd0->map(0, after);
    Request update{};
    update.type = static_cast<uint32_t>(RequestType::update_iotlb);
    update.iova = {0, ~uint64_t{0}, 0, 0};
    Request state{};
    state.type = static_cast<uint32_t>(RequestType::get_vq_state);
    state.vq_state.index = 1;
    std::vector<uint32_t> answered;
    bool too_early = false;
    vd0->on_response = [&](const Request& request, const Response&) {
        answered.push_back(request.type);
        too_early |= !left;
    };
    vd0->queue(update);
    const uint32_t id = vd0->queue(state);
    settle();
    data.join();
    EXPECT_FALSE(too_early);
    EXPECT_EQ(answered, (std::vector{update.type, state.type}));
    ASSERT_TRUE(vd0->answer(id));
    EXPECT_EQ(vd0->answer(id)->vq_state.split.avail_index, 2) << "the whole burst";
    EXPECT_EQ(frames, Frames(2, std::vector<uint8_t>(60, 1)));
    vd0->on_response = nullptr;
    offer_from_guest(0, at);
    EXPECT_EQ(burst(), Frames(1, std::vector<uint8_t>(60, 2)));
}

// A data thread is held up inside a burst, for example by a debugger. Control times out, answers
// FAILED, and keeps mapped what the thread may still read.
TEST_F(BareSession, Case151_DataThreadThatDoesNotLeave) {
    plain_start();
    const int fd = guest.entries()[0].memory->fd();
    offer_from_guest(0);
    FetchLedger ledger;
    // 1 index, 2 heads, 3 descriptor, 4 header: the frame is not copied yet.
    ledger.after(4, [&] {
        vd0->unmap_all(0);
        const auto start = std::chrono::steady_clock::now();
        EXPECT_FALSE(vd0->update_iotlb(0));
        const auto took = std::chrono::steady_clock::now() - start;
        EXPECT_GE(took, kTimeout);
        EXPECT_LT(took, sched::Gate::kTimeout);
        EXPECT_EQ(mappings_of(fd).size(), 2U) << "the driver's and ours";
        EXPECT_TRUE(vd0->update_iotlb(1)) << "what does not need that thread is answered";
        EXPECT_EQ(vd0->get_vq_state(0), 0);
        EXPECT_TRUE(vd0->set_status(3)) << "and so is the rest, now that its queue is closed";
    });
    EXPECT_EQ(burst(), Frames(1, std::vector<uint8_t>(60, 0)));
    EXPECT_TRUE(burst().empty()) << "the gate stays closed";
    settle();
    EXPECT_EQ(mappings_of(fd).size(), 1U) << "unmapped when it has left";
    EXPECT_FALSE(session->driver().broken());
    plain_start();
    EXPECT_EQ(burst().size(), 0U);
    offer_from_guest(0);
    EXPECT_EQ(burst().size(), 1U);
}

/// The same with a journal, from which another process can adopt the device.
class LastingSession : public BareSession {
  protected:
    TemporaryFolder folder;

    void SetUp() override {
        config.persist = true;
        config.journal_folder = folder.path();
        make();
    }
};

// A hand-over that times out leaves the device in service. It is served again immediately, without
// waiting for a message.
TEST_F(LastingSession, HandOverWithADataThreadThatDoesNotLeave) {
    plain_start();
    offer_from_guest(0);
    FetchLedger ledger;
    ledger.after(4, [&] {
        const auto ready = session->prepare_to_release();
        ASSERT_FALSE(ready);
        EXPECT_EQ(ready.error().code, ETIMEDOUT);
    });
    EXPECT_EQ(burst().size(), 1U);
    session->tick();
    offer_from_guest(0);
    EXPECT_EQ(burst().size(), 1U) << "served again, without a word from the kernel";
    EXPECT_TRUE(session->prepare_to_release());
}

// If one of several devices cannot be released, those that were stopped already resume.
TEST_F(LastingSession, HandOverThatIsCalledOff) {
    plain_start();
    ASSERT_TRUE(session->prepare_to_release());
    offer_from_guest(0);
    EXPECT_TRUE(burst().empty());
    session->reconcile();
    EXPECT_EQ(burst().size(), 1U);
}

// An adopted device builds its tables before it is known which lcores will read them.
TEST_F(LastingSession, TablesOfAnAdoptedDeviceMoveToTheirReader) {
    plain_start();
    vd0->on_bus = true;
    ASSERT_TRUE(session->stop());
    ASSERT_TRUE(session->destroy(true));
    session.reset();
    make();
    const int node = memory::any_node() + 1;
    EXPECT_NE(allocator.last_node, node);
    session->set_node(0, node);
    EXPECT_EQ(allocator.last_node, node);
    allocator.last_node = -2;
    session->set_node(1, node);
    session->set_node(0, node);
    EXPECT_EQ(allocator.last_node, -2) << "it is there already";
    offer_from_guest(0);
    EXPECT_EQ(burst().size(), 1U);
}

// For the kernel, a message answered FAILED did not happen. The device handles it the same way: the
// queue resumes as soon as the thread has left.
TEST_F(BareSession, Case151_WhatFailedDidNotHappen) {
    plain_start();
    offer_from_guest(0);
    FetchLedger ledger;
    ledger.after(4, [&] {
        EXPECT_FALSE(vd0->suspend());
        EXPECT_EQ(vd0->get_vq_state(1), std::nullopt) << "it is still changing";
        EXPECT_EQ(vd0->get_vq_state(0), 0);
    });
    EXPECT_EQ(burst().size(), 1U);
    settle();
    EXPECT_EQ(vd0->get_vq_state(1), 1);
    offer_from_guest(0);
    ledger.begin();
    ledger.after(4, [&] { EXPECT_FALSE(vd0->set_group_asid(0, 1)); });
    EXPECT_EQ(burst().size(), 1U);
    settle();
    EXPECT_EQ(session->info().groups[0].asid, 0U);
    offer_from_guest(0);
    EXPECT_EQ(burst().size(), 1U);
    EXPECT_TRUE(vd0->suspend());
}

// There is no memory for a lookup table when control resolves the miss of a chain.
TEST_F(BareSession, Case142_NoTableForAMiss) {
    plain_start();
    GuestMemory more;
    const AddressPair at = more.add_bytes(0x5000'0000, 0x1000);
    vd0->map(0, more);
    offer_from_guest(0, at.iova);
    allocator.exhausted = true;
    EXPECT_TRUE(burst().empty());
    settle();
    EXPECT_TRUE(burst().empty());
    allocator.exhausted = false;
    EXPECT_TRUE(vd0->update_iotlb(0));
    settle();
    EXPECT_EQ(burst().size(), 1U);
}

// The same in an update. FAILED would remove the driver's mappings because of a shortage in this
// process. Instead the queues of that space stop, the other space continues, and the next update
// starts them again.
TEST_F(BareSession, Case142_NoTableForAnUpdate) {
    vd0->pump = [&] {
        session->handle_messages();
        session->handle_kick();
        session->tick();
    };
    qemu_start();
    const int fd = guest.entries()[0].memory->fd();
    offer_from_guest(0);
    allocator.exhausted = true;
    EXPECT_TRUE(vd0->update_iotlb(0));
    EXPECT_TRUE(burst().empty());
    EXPECT_EQ(mappings_of(fd).size(), 1U) << "the answer let the kernel have the memory";
    EXPECT_EQ(command(4, {0, 1, 1}), 0U) << "the other space";
    allocator.exhausted = false;
    EXPECT_TRUE(vd0->update_iotlb(0));
    settle();
    EXPECT_EQ(burst().size(), 1U);
}

}  // namespace
}  // namespace vduse::test
