// SPDX-License-Identifier: BSD-3-Clause

// The process is killed at every point of a device's life (doc/hostile-cases.md, 131, 132): once
// after each of its effects. Another process then adopts the device, and is killed once as well.
//
// An effect is a call into the kernel, a store into guest memory, or half of a write to the
// journal. Effects are all that remains of a process. Control and Device of a dead process are
// destroyed here, but nothing that they do has an effect: the kernel refuses their calls, and
// memory is restored. A caller that waits for an answer in the kernel keeps waiting, and its
// request goes to the next process.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <optional>
#include <string>

#include "support/session_rig.h"
#include "support/store_log.h"
#include "support/temporary_folder.h"
#include "vduse/info.h"
#include "virtio/config_space.h"
#include "virtio/features.h"

namespace vduse::test {
namespace {

/// State of the simulated process. `current` is global because pwrite64, which writes the journal,
/// has no other way to reach it.
struct Life {
    unsigned effects = 0;
    unsigned end = 0;  ///< dies after this effect; 0: never
    bool dead = false;
    std::function<void()> on_death;

    void effect() {
        if (dead || ++effects != end)
            return;
        dead = true;
        on_death();
    }
};
Life* current = nullptr;

}  // namespace
}  // namespace vduse::test

extern "C" ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) {
    using vduse::test::current;
    const auto write = [&](size_t from, size_t length) {
        if (current == nullptr || !current->dead)
            ::syscall(
                SYS_pwrite64,
                fd,
                static_cast<const char*>(bytes) + from,
                length,
                offset + static_cast<off64_t>(from)
            );
        if (current != nullptr)
            current->effect();
    };
    write(0, count / 2);
    write(count / 2, count - count / 2);
    return static_cast<ssize_t>(count);
}

namespace vduse::test {
namespace {

class KilledSession : public SessionTest, public guest::AccessHook {
  protected:
    static constexpr Iova kFrames = 0x8'0000;
    static constexpr Iova kRamEnd = 0xa'0000;

    TemporaryFolder folder;
    Life life;
    unsigned deaths = 0;
    unsigned again = 0;  ///< number of effects until the next process dies
    std::optional<Image> guest_left;
    std::optional<Image> shadow_left;
    unsigned stores = 0;

    KilledSession() {
        control.reset();
        // Use little memory: it is copied and mapped thousands of times.
        guest.remove(0);
        guest.add(0, kRamEnd - 1);
        guest_left.emplace(guest);
        shadow_left.emplace(shadow);
        current = &life;
        guest::access_hook = this;
        life.on_death = [this] {
            guest_left->take();
            shadow_left->take();
        };
        kernel.faults.watch = [this](const std::string& /*method*/) {
            if (life.dead)
                return EPERM;
            life.effect();  // this call still counts
            return 0;
        };
    }
    ~KilledSession() override {
        guest::access_hook = nullptr;
        current = nullptr;
    }
    void fetched(const void* /*guest*/, size_t /*bytes*/) noexcept override {}
    void stored(const void* /*guest*/, size_t /*bytes*/) noexcept override {
        ++stores;
        life.effect();
    }

    [[nodiscard]] DeviceConfig surviving() const {
        DeviceConfig config = two_pairs();
        config.survive_crash = true;
        config.journal_folder = folder.path();
        return config;
    }

    /// If the process is dead, cleans up after it and starts another one. Returns whether it was.
    bool revive() {
        bool died = false;
        while (life.dead && !HasFailure()) {
            died = true;
            ++deaths;
            device.reset();
            control.reset();
            guest_left->put_back();
            shadow_left->put_back();
            life = {0, std::exchange(again, 0), false, std::move(life.on_death)};
            begin();
        }
        return died;
    }
    /// Starts a process, which may die immediately.
    void begin() {
        auto created = Control::create(&kernel);
        ASSERT_TRUE(created);
        control = std::move(*created);
        const std::string error = create(surviving());
        ASSERT_TRUE(error.empty() || life.dead) << error;
        if (vd0 != nullptr)
            vd0->pump = [this] {
                if (!revive())
                    control->run_once(0);
                revive();
            };
    }

    // ---- actions of driver and QEMU, and the state expected after them

    void agree() {
        settle();
        const DeviceInfo info = device->info();
        ASSERT_FALSE(device->broken());
        ASSERT_EQ(info.status, vd0->status);
        ASSERT_EQ(info.features, vd0->driver_features);
        for (size_t group = 0; group < info.groups.size(); ++group)
            ASSERT_EQ(info.groups[group].asid, vd0->group_asids[group]);
        for (uint32_t i = 0; i < vd0->queues; ++i) {
            ASSERT_EQ(device->queue_info(i)->ready, vd0->vqs[i].ready);
            ASSERT_EQ(device->queue_info(i)->running, !vd0->suspended) << i;
        }
        virtio::ConfigSpace space;
        std::memcpy(&space, vd0->config.data(), sizeof space);
        ASSERT_EQ(info.link_up, space.status == virtio::kConfigLinkUp);
        ASSERT_TRUE(std::equal(info.mac.begin(), info.mac.end(), space.mac));
    }
    void check_rings() {
        for (const auto& [index, ring] : rings)
            ASSERT_EQ(ring.strays(), 0U) << "queue " << index;
    }
    /// Positions of the data queues: what QEMU saved, or 0.
    using Positions = std::array<uint16_t, 4>;

    /// QEMU starts the device. With `saved`, the driver's rings continue at these positions.
    void start(const std::optional<Positions>& saved = std::nullopt) {
        ASSERT_TRUE(vd0->set_status(0));
        vd0->set_features(kWithMq);
        ASSERT_TRUE(vd0->set_status(0x08));
        for (uint32_t i = 0; i < 4; ++i) {
            if (saved)
                vd0->set_vq(i, ring(i).layout(), (*saved)[i]);
            else
                set_up(i, 16, 0xfffc);
        }
        ASSERT_TRUE(vd0->set_group_asid(1, 1));
        set_up_shadow(4);
        vd0->unmap_all(0);
        vd0->unmap_all(1);
        vd0->map(1, shadow);
        ASSERT_TRUE(vd0->update_iotlb(1));
        vd0->map(0, guest);
        ASSERT_TRUE(vd0->update_iotlb(0));
        ASSERT_TRUE(vd0->set_status(0x0c));
        for (const uint32_t i : {4U, 0U, 1U, 2U, 3U})
            ASSERT_TRUE(vd0->set_ready(i));
        agree();
    }
    /// The driver sends `count` frames at once, after those in flight. Runs until all buffers are
    /// returned.
    void send(uint16_t pair, unsigned count) {
        const unsigned deaths_before = deaths;
        const unsigned irqs = vd0->vqs[2U * pair + 1].irqs;
        for (unsigned i = 0; i < count; ++i)
            offer_from_guest(pair, kFrames + i * 0x1000);
        const unsigned expected = ring(2U * pair + 1).in_flight();
        size_t got = 0;
        for (int turn = 0; ring(2U * pair + 1).in_flight() != 0; ++turn) {
            ASSERT_LT(turn, 8);
            const size_t now = take(pair);
            revive();
            const unsigned in_flight = ring(2U * pair + 1).in_flight();
            while (ring(2U * pair + 1).take_used())
                ;
            // Count only frames whose buffers were returned: the rest did not happen.
            if (ring(2U * pair + 1).in_flight() != in_flight)
                got += now;
        }
        ASSERT_LE(got, expected);
        ASSERT_TRUE(got == expected || deaths != deaths_before);
        settle();
        ASSERT_NE(vd0->vqs[2U * pair + 1].irqs, irqs) << "the driver sleeps";
    }
    /// Sends a broadcast frame, which every filter accepts.
    size_t give(uint16_t pair) {
        rte_mbuf* frame = pool.frame(std::vector<uint8_t>(60, 0xff));
        const uint16_t taken = device->queue_pair(pair).to_guest(std::span(&frame, 1));
        if (taken == 0)
            rte_pktmbuf_free(frame);
        return taken;
    }
    /// Sends frames to the driver until all its buffers are used.
    void receive(uint16_t pair) {
        MockDriver& buffers = ring(2U * pair);
        buffers.offer({{kFrames + 0x10000, 2048, true}});
        buffers.publish();
        for (int turn = 0; buffers.in_flight() != 0; ++turn) {
            ASSERT_LT(turn, 8);
            give(pair);
            revive();
            settle();
            while (buffers.take_used())
                ;
        }
    }
    void traffic_everywhere() {
        for (const uint16_t pair : {uint16_t{0}, uint16_t{1}}) {
            send(pair, 2);
            receive(pair);
        }
        check_rings();
    }
    void tell(const std::vector<uint8_t>& bytes) {
        ASSERT_EQ(command(4, bytes), 0U);
        agree();
    }
    /// The program sets the link. If it dies while doing so, the next process first sets the
    /// opposite.
    void link(bool up) {
        device->set_link(up);
        if (revive()) {
            device->set_link(!up);
            revive();
            agree();
            device->set_link(up);
            revive();
        }
        agree();
        ASSERT_EQ(device->info().link_up, up);
    }
    /// QEMU suspends the device and saves its positions. The device must not touch a ring after
    /// that.
    void suspend(Positions& positions) {
        ASSERT_TRUE(vd0->suspend());
        for (const uint16_t pair : {uint16_t{0}, uint16_t{1}})
            offer_from_guest(pair, kFrames);
        const unsigned stores_before = stores;
        for (uint32_t i = 0; i < 4; ++i) {
            const auto position = vd0->get_vq_state(i);
            ASSERT_TRUE(position);
            ASSERT_EQ(*position, ring(i).used_idx()) << "queue " << i;
            positions[i] = *position;
        }
        ASSERT_EQ(take(0), 0U);
        ASSERT_EQ(give(1), 0U);
        agree();
        ASSERT_EQ(stores, stores_before) << "something was written behind the answer";
    }

    void whole_life() {
        begin();
        revive();
        vd0->on_bus = true;
        start();
        send(0, 2);
        receive(0);
        link(true);
        tell({4, 0, 2, 0});
        tell({0, 0, 0});
        tell({1, 1, 2, 0, 0, 0, 0, 9});
        traffic_everywhere();
        // Guest memory is unmapped and mapped again.
        vd0->unmap_all(0);
        ASSERT_TRUE(vd0->update_iotlb(0));
        offer_from_guest(1, kFrames);
        ASSERT_EQ(take(1), 0U);
        map_guest();
        settle();
        send(1, 1);
        Positions positions{};
        suspend(positions);
        start(positions);
        send(0, 1);
        send(1, 1);
        tell({4, 0, 2, 0});
        traffic_everywhere();
        // A reset while frames are in flight.
        offer_from_guest(0, kFrames);
        start();
        tell({4, 0, 2, 0});
        traffic_everywhere();
        link(false);
        ASSERT_TRUE(vd0->set_status(0));
        check_rings();
        ASSERT_EQ(pool.in_use(), 0U);
        vd0->on_bus = false;
        const bool died = life.dead;
        ASSERT_TRUE(device->destroy() || died);
        device.reset();
        control.reset();
    }
};

TEST_F(KilledSession, Case131_132_AfterEveryEffect) {
    testing::internal::CaptureStderr();
    whole_life();
    const unsigned effects = life.effects;
    EXPECT_GT(effects, 300U);
    unsigned lives = 0;
    for (unsigned end = 1; end <= effects && !HasFailure(); ++end) {
        SCOPED_TRACE(end);
        life = {0, end, false, std::move(life.on_death)};
        again = 1 + end * 7 % 61;
        vd0 = nullptr;
        whole_life();
        ++lives;
        life.dead = false;
        auto node = kernel.open_control();
        if (kernel.device("vd0") != nullptr)
            (void)(*node)->destroy("vd0");
    }
    EXPECT_GT(deaths, lives);
    testing::internal::GetCapturedStderr();
}

}  // namespace
}  // namespace vduse::test
