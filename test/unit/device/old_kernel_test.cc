// SPDX-License-Identifier: BSD-3-Clause

// Devices on kernels that support less of VDUSE than Linux 7.3: 6.12 (API version 0) and 7.2 (API
// version 1 without VDUSE_F_QUEUE_READY and VDUSE_F_SUSPEND).
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "device/capabilities.h"
#include "support/session_rig.h"
#include "vduse/info.h"

namespace vduse::test {
namespace {

using namespace virtio;
using Clock = std::chrono::steady_clock;
using Linux = FakeKernel::Linux;
using uapi::abi::Request;
using uapi::abi::RequestType;

constexpr std::chrono::seconds kLong{10};

class OldKernel : public SessionTest {
  protected:
    /// The lines that creating a device logs, without their prefix "VDUSE: vd0: ".
    std::vector<std::string> lines_of_creation(const DeviceConfig& config = two_pairs()) {
        testing::internal::CaptureStderr();
        const std::string error = create(config);
        const std::string log = testing::internal::GetCapturedStderr();
        EXPECT_EQ(error, "");
        std::vector<std::string> lines;
        const std::string prefix = "VDUSE: vd0: ";
        for (size_t at = 0; (at = log.find(prefix, at)) != log.npos;) {
            at += prefix.size();
            lines.push_back(log.substr(at, log.find('\n', at) - at));
        }
        return lines;
    }
    /// Runs a driver up to FEATURES_OK and sets up all its queues in guest memory.
    void negotiate(uint64_t features = kWithMq) {
        (void)vd0->set_status(0);
        vd0->set_features(features);
        (void)vd0->set_status(0x0b);
        vd0->unmap_all(0);
        vd0->map(0, guest);
        (void)vd0->update_iotlb(0);
        for (uint32_t i = 0; i < 5; ++i)
            set_up(i);
        command_at = guest.address(kBuffers + 0x30000);
        ack_at = guest.address(kBuffers + 0x31000);
    }
    void ready_all() {
        for (uint32_t i = 0; i < 5; ++i)
            EXPECT_TRUE(vd0->set_ready(i));
    }
    void driver_ok() {
        (void)vd0->set_status(0x0f);
        settle();
    }
    void start(uint64_t features = kWithMq) {
        negotiate(features);
        ready_all();
        driver_ok();
    }
    bool works() { return command(4, {4, 0, 2, 0}) == 0 && traffic(0) && traffic(1); }
    [[nodiscard]] bool running(uint32_t index) const { return device->queue_info(index)->running; }
    /// Whether a kick of data queue `index` goes to control and not to a sleeping data thread.
    [[nodiscard]] bool calls_control(uint32_t index) const {
        if (!vd0->vqs[index].kickfd)
            return false;
        const auto pair = static_cast<uint16_t>(index / 2);
        uint64_t before = 0;
        (void)!::read(device->queue_pair(pair).kick_fd(), &before, sizeof before);
        vd0->kick(index);
        pollfd own{device->queue_pair(pair).kick_fd(), POLLIN, 0};
        return ::poll(&own, 1, 0) == 0;
    }
};

bool contains(const std::string& text, const char* part) {
    return text.find(part) != text.npos;
}

// ---- what the kernel supports, and what is logged

TEST_F(OldKernel, ApiVersion0) {
    kernel.be_linux(Linux::v6_12);
    const auto lines = lines_of_creation();
    ASSERT_EQ(lines.size(), 1U);
    for (const char* part :
         {"Linux 6.12.0-fake lacks API version 1", "VDUSE_F_QUEUE_READY", "VDUSE_F_SUSPEND"})
        EXPECT_TRUE(contains(lines[0], part)) << lines[0];
    EXPECT_EQ(vd0->api_version, 0U);
    EXPECT_EQ(vd0->queues, 5U);
    for (uint32_t i = 0; i < 5; ++i)
        EXPECT_EQ(vd0->vqs[i].group, 0U);
    const DeviceInfo info = device->info();
    EXPECT_EQ(info.api_version, 0U);
    EXPECT_EQ(info.kernel_features, 0U);
    EXPECT_EQ(info.spaces.size(), 1U);
    ASSERT_EQ(info.groups.size(), 1U);
    EXPECT_EQ(info.groups[0].first_queue, 0U);
    EXPECT_EQ(info.groups[0].last_queue, 4U);
    EXPECT_EQ(device->queue_info(4)->use, QueueUse::control);
    EXPECT_EQ(device->queue_info(4)->group, 0U);
}

TEST_F(OldKernel, OptionsThatNeedGroups) {
    const auto with = [](Groups groups, uint16_t spaces) {
        DeviceConfig config = two_pairs();
        config.groups = groups;
        config.spaces = spaces;
        return config;
    };
    kernel.be_linux(Linux::v6_12);
    for (const auto& [config, option] :
         {std::pair{with(Groups::per_pair, 0), "groups=per-pair needs VDUSE API version 1"},
          {with(Groups::per_pair, 1), "groups=per-pair needs VDUSE API version 1"},
          {with(Groups::together, 2), "as=2 needs VDUSE API version 1"}}) {
        const std::string error = create(config);
        EXPECT_TRUE(contains(error, option)) << error;
        EXPECT_TRUE(contains(error, "Linux 6.12.0-fake has version 0")) << error;
        EXPECT_EQ(kernel.device("vd0"), nullptr);
    }
    ASSERT_EQ(create(with(Groups::together, 1)), "");
    EXPECT_TRUE(device->destroy());
    device.reset();
    kernel.be_linux(Linux::v7_2);
    ASSERT_EQ(create(with(Groups::per_pair, 4)), "");
    EXPECT_EQ(vd0->groups, 3U);
    EXPECT_EQ(vd0->spaces.size(), 4U);
}

TEST_F(OldKernel, ApiVersion1WithoutFeatures) {
    kernel.be_linux(Linux::v7_2);
    const auto lines = lines_of_creation();
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_TRUE(contains(lines[0], "Linux 7.2.0-fake lacks VDUSE_F_QUEUE_READY")) << lines[0];
    EXPECT_TRUE(contains(lines[0], "VDUSE_F_SUSPEND")) << lines[0];
    EXPECT_FALSE(contains(lines[0], "API version")) << lines[0];
    EXPECT_EQ(vd0->groups, 2U);
    EXPECT_EQ(vd0->spaces.size(), 2U);
    EXPECT_EQ(device->info().api_version, 1U);
    EXPECT_EQ(device->info().kernel_features, 0U);
    EXPECT_EQ(device->info().groups.size(), 2U);
}

TEST_F(OldKernel, OneFeatureOfTwo) {
    kernel.vduse_features = uapi::abi::kFeatureQueueReady;
    const auto lines = lines_of_creation();
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_TRUE(contains(lines[0], "Linux 7.3.0-fake lacks VDUSE_F_SUSPEND")) << lines[0];
    EXPECT_FALSE(contains(lines[0], "QUEUE_READY")) << lines[0];
    EXPECT_EQ(vd0->vduse_features, uapi::abi::kFeatureQueueReady);
    qemu_start();
    EXPECT_TRUE(traffic(0));
}

TEST_F(OldKernel, NothingIsMissing) {
    EXPECT_TRUE(lines_of_creation().empty());
    EXPECT_EQ(device::describe_missing({1, vd0->vduse_features}), "");
}

TEST_F(OldKernel, StockApiVersion0) {
    kernel.be_linux(Linux::v6_12);
    kernel.refuse_ctrl_vq = true;
    EXPECT_EQ(lines_of_creation().size(), 2U) << "the control queue, and what the kernel lacks";
    EXPECT_EQ(vd0->queues, 2U);
    plain_start();
    EXPECT_TRUE(traffic(0));
}

// ---- all kernels

class EveryKernel : public OldKernel, public testing::WithParamInterface<Linux> {};

INSTANTIATE_TEST_SUITE_P(
    Kernels, EveryKernel, testing::Values(Linux::v6_12, Linux::v7_2, Linux::v7_3)
);

// virtio_vdpa: queues become ready before DRIVER_OK. The control queue shares their space.
TEST_P(EveryKernel, VirtioVdpa) {
    kernel.be_linux(GetParam());
    kernel.driver = "virtio_vdpa";
    ASSERT_EQ(create(), "");
    for (int start = 0; start < 3; ++start) {
        negotiate();
        ready_all();
        EXPECT_FALSE(running(0)) << "before DRIVER_OK";
        driver_ok();
        EXPECT_TRUE(works());
        EXPECT_EQ(device->active_pairs(), 2);
        EXPECT_TRUE(vd0->set_status(0));
        for (uint32_t i = 0; i < 5; ++i)
            EXPECT_TRUE(vd0->set_ready(i, false));
        EXPECT_FALSE(running(0));
    }
    EXPECT_FALSE(device->broken());
}

// QEMU: queues become ready after DRIVER_OK. The control queue is first and must answer before the
// others are ready.
TEST_P(EveryKernel, ReadyAfterDriverOk) {
    kernel.be_linux(GetParam());
    ASSERT_EQ(create(), "");
    for (int start = 0; start < 3; ++start) {
        negotiate();
        driver_ok();
        for (uint32_t i = 0; i < 5; ++i)
            EXPECT_FALSE(running(i));
        EXPECT_TRUE(vd0->set_ready(4));
        EXPECT_EQ(command(4, {4, 0, 2, 0}), 0U);
        EXPECT_FALSE(running(0));
        ready_all();
        settle();
        EXPECT_TRUE(works());
        for (uint32_t i = 0; i < 4; ++i)
            EXPECT_FALSE(calls_control(i)) << "a queue that is polled calls its data thread";
    }
}

TEST_P(EveryKernel, MemoryChangesUnderTheDriver) {
    kernel.be_linux(GetParam());
    ASSERT_EQ(create(), "");
    start();
    ASSERT_TRUE(works());
    vd0->unmap_all(0);
    EXPECT_TRUE(vd0->update_iotlb(0));
    EXPECT_FALSE(frame_from_guest(0));
    map_guest();
    settle();
    EXPECT_EQ(take(0), 1U) << "what was offered meanwhile";
    EXPECT_TRUE(works());
    EXPECT_EQ(vd0->get_vq_state(1), 3);
}

// ---- version 0

TEST_F(OldKernel, WithVersion0UpdatesHaveNoSpace) {
    kernel.be_linux(Linux::v6_12);
    ASSERT_EQ(create(), "");
    vd0->map(0, guest);
    Request update{};
    update.type = static_cast<uint32_t>(RequestType::update_iotlb);
    update.iova = {0, ~uint64_t{0}, 7, 7};  // API version 0 has no ASID here
    const auto response = vd0->send(update);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->result, uapi::abi::kResultOk);
    EXPECT_EQ(device->info().spaces[0].size(), 1U);
}

// ---- without VDUSE_F_QUEUE_READY

// The control loop sleeps while a queue is not ready. The queue's first kick wakes it.
TEST_F(OldKernel, AKickWakesControl) {
    kernel.be_linux(Linux::v7_2);
    ASSERT_EQ(create(), "");
    for (int start = 0; start < 2; ++start) {  // a reset removes the eventfd
        negotiate(kBase);
        driver_ok();
    }
    EXPECT_TRUE(vd0->set_ready(0));
    driver_ok();
    EXPECT_TRUE(running(0));
    EXPECT_FALSE(running(1));
    EXPECT_TRUE(vd0->vqs[1].kickfd);
    const unsigned asked = kernel.faults.calls("vq_info");
    auto begin = Clock::now();
    control->run_once(100);
    EXPECT_GE(Clock::now() - begin, std::chrono::milliseconds(90)) << "nothing to look for";
    EXPECT_EQ(kernel.faults.calls("vq_info"), asked + 1);

    // The queue becomes ready just after control has asked, and is kicked while control sleeps.
    offer_from_guest(0);
    EXPECT_TRUE(vd0->set_ready(1));
    vd0->vqs[1].ready_in = 1;
    std::thread driver([kickfd = vd0->vqs[1].kickfd.get()] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        const uint64_t one = 1;
        EXPECT_EQ(::write(kickfd, &one, sizeof one), ssize_t{sizeof one});
    });
    begin = Clock::now();
    control->run_once(2 * std::chrono::milliseconds(kLong).count());
    driver.join();
    EXPECT_LT(Clock::now() - begin, kLong);
    control->run_once(0);
    EXPECT_EQ(take(0), 1U);
    EXPECT_FALSE(calls_control(1));
}

// The device told the driver earlier not to kick, as after QEMU's `cont`.
TEST_F(OldKernel, ReadyWithoutAKickIsSeenInTheNextTurn) {
    kernel.be_linux(Linux::v7_2);
    ASSERT_EQ(create(), "");
    negotiate(kBase);
    driver_ok();
    offer_from_guest(0);
    EXPECT_TRUE(vd0->set_ready(0));
    EXPECT_TRUE(vd0->set_ready(1));
    control->run_once(0);
    EXPECT_EQ(take(0), 1U);
    const unsigned asked = kernel.faults.calls("vq_info");
    settle();
    EXPECT_EQ(kernel.faults.calls("vq_info"), asked) << "all queues of the driver run";
}

TEST_F(OldKernel, ReadyTakenAwayWithoutAWord) {
    kernel.be_linux(Linux::v7_2);
    ASSERT_EQ(create(), "");
    start(kBase);
    ASSERT_TRUE(traffic(0));
    EXPECT_TRUE(vd0->set_ready(1, false));
    EXPECT_TRUE(vd0->update_iotlb(0));
    EXPECT_FALSE(device->queue_info(1)->ready);
    EXPECT_FALSE(frame_from_guest(0));
    EXPECT_TRUE(frame_to_guest(0));
    EXPECT_TRUE(vd0->set_ready(1));
    settle();
    EXPECT_EQ(take(0), 1U) << "at its position";
}

TEST_F(OldKernel, ADeviceThatIsGivenUpAsksNothing) {
    kernel.be_linux(Linux::v6_12);
    ASSERT_EQ(create(), "");
    negotiate();
    driver_ok();
    vd0->give_up();
    settle();
    EXPECT_TRUE(device->broken());
    const unsigned asked = kernel.faults.calls("vq_info");
    settle();
    EXPECT_EQ(kernel.faults.calls("vq_info"), asked);
}

// ---- calls that fail

TEST_P(EveryKernel, EveryCallFailsOnce) {
    kernel.be_linux(GetParam());
    for (const std::string method :
         {"open_control",
          "set_api_version",
          "get_features",
          "set_features",
          "create",
          "open_device",
          "vq_setup",
          "driver_features",
          "iotlb_region",
          "vq_info",
          "vq_kickfd"})
        for (unsigned nth = 1;; ++nth) {
            const unsigned calls = kernel.faults.calls(method);
            kernel.faults.fail(method, ENOMEM, nth);
            const std::string error = create();
            if (error.empty()) {
                start();
                (void)works();
                EXPECT_FALSE(device->broken()) << method << " " << nth;
            } else {
                EXPECT_EQ(kernel.device("vd0"), nullptr) << error;
            }
            const bool failed = kernel.faults.calls(method) - calls >= nth;
            kernel.faults.fail(method, 0, 1, 0);
            if (error.empty()) {
                start();
                EXPECT_TRUE(works()) << method << " " << nth << ": after a reset";
                EXPECT_TRUE(device->destroy());
                device.reset();
            }
            if (!failed)
                break;
        }
}

}  // namespace
}  // namespace vduse::test
