// SPDX-License-Identifier: BSD-3-Clause

// Memory is faulted in while the control thread has nothing else to do, in steps.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/session_rig.h"

namespace vduse::test {
namespace {

constexpr uint64_t kStep = uint64_t{4} << 20;
constexpr uint64_t kMemory = uint64_t{32} << 20;

class PrefaultTest : public SessionTest {
  protected:
    /// Guest memory of which no page was touched, in space 0 of a device.
    struct Tenant {
        GuestMemory memory;
        std::unique_ptr<Device> device;
        FakeDevice* kernel_side = nullptr;
    };

    Tenant make_tenant(const std::string& name) {
        Tenant tenant;
        tenant.memory.add_bytes(0, kMemory);
        DeviceConfig config = two_pairs();
        config.name = name;
        auto added = control->add(config);
        EXPECT_TRUE(added) << added.error().text();
        tenant.device = std::move(*added);
        tenant.kernel_side = kernel.device(name);
        tenant.kernel_side->map(0, tenant.memory);
        return tenant;
    }
    /// Tells the device of its memory. The message waits for the control thread.
    static uint32_t announce(Tenant& tenant) {
        uapi::abi::Request request{};
        request.type = static_cast<uint32_t>(uapi::abi::RequestType::update_iotlb);
        request.iova.start = 0;
        request.iova.last = kMemory - 1;
        return tenant.kernel_side->queue(request);
    }
    static uint64_t resident(const Tenant& tenant) {
        struct stat status {};
        ::fstat(tenant.memory.entries()[0].memory->fd(), &status);
        return static_cast<uint64_t>(status.st_blocks) * 512;
    }
};

TEST_F(PrefaultTest, OneDeviceATurn) {
    Tenant first = make_tenant("vd0");
    Tenant second = make_tenant("vd1");
    announce(first);
    announce(second);
    control->run_once(0);
    control->run_once(0);
    const uint64_t before = resident(first) + resident(second);
    EXPECT_LE(before, 2 * kStep);
    control->run_once(0);
    const uint64_t after = resident(first) + resident(second);
    EXPECT_GT(after, before);
    EXPECT_LE(after, before + kStep);
    for (uint64_t turn = 0; turn < 2 * kMemory / kStep + 4; ++turn)
        control->run_once(0);
    EXPECT_GE(resident(first), kMemory);
    EXPECT_GE(resident(second), kMemory);
}

TEST_F(PrefaultTest, AnAnswerDoesNotWaitForIt) {
    Tenant tenant = make_tenant("vd0");
    const uint32_t first = announce(tenant);
    control->run_once(0);
    ASSERT_TRUE(tenant.kernel_side->answer(first));
    control->run_once(0);
    const uint64_t before = resident(tenant);
    ASSERT_LT(before, kMemory) << "something is left to do";
    const uint32_t second = announce(tenant);
    control->run_once(0);
    EXPECT_TRUE(tenant.kernel_side->answer(second));
    EXPECT_EQ(resident(tenant), before);
}

}  // namespace
}  // namespace vduse::test
