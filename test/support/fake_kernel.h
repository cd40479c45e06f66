// SPDX-License-Identifier: BSD-3-Clause

// The kernel's side of VDUSE, in process: /dev/vduse/control, the device nodes, and the vDPA bus
// above them.
//
//   device under test  --uapi::Kernel-->  FakeKernel  <--the test--  what a driver and QEMU do
//
// It answers as vduse_dev.c of Linux 7.3 does, or as that of 7.2 or 6.12 (`FakeKernel::be_linux`).
// That includes the surprising parts, which were measured (the facts are in doc/design.md):
//
// - `ready` becomes 1 only some time after the answer to SET_VQ_READY.
// - A status is recorded only if the answer is OK, but status 0 always resets.
// - VQ_SETUP is refused while DRIVER_OK is set.
// - SET_VQ_READY answered FAILED breaks the device permanently.
// - Groups keep their address space over a reset.
//
// The test drives it from the other side. `device("vd0")` has the driver's operations
// (`set_status`, `set_ready`, `map`, ...). An operation that needs an answer queues the kernel's
// message and calls `pump`, which runs the device under test, until the answer arrives. Any call of
// the interface can be made to fail. Everything runs on one thread, except `inject_irq`.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "support/guest_memory.h"
#include "support/mock_driver.h"
#include "uapi/kernel.h"

namespace vduse::test {

/// Which calls fail. `method` is the name of a method in uapi/kernel.h, such as "open_device".
class Faults {
  public:
    /// Starting with the `nth` call of `method` from now (1: the next one), `times` calls fail with
    /// `code`.
    void fail(const std::string& method, int code, unsigned nth = 1, unsigned times = 1);
    [[nodiscard]] unsigned calls(const std::string& method);

    /// Called before each call. Returns the code to fail with, or 0. A call that it fails is not
    /// counted.
    std::function<int(const std::string& method)> watch;

    /// For the fake kernel: counts a call. Returns the code to fail with, or 0.
    int hit(const std::string& method);

  private:
    struct Method {
        unsigned calls = 0;
        unsigned first = 0;  ///< first call that fails
        unsigned end = 0;    ///< first call after it that succeeds
        int code = 0;
    };
    std::mutex mutex_;
    std::map<std::string, Method> methods_;
};

/// A device as the kernel holds it. It stays when its node is closed, until it is destroyed.
class FakeDevice {
  public:
    FakeDevice(
        Faults& faults,
        const uapi::CreateParameters& parameters,
        uint64_t api_version,
        uint64_t vduse_features
    );

    struct VirtQueue {
        uint16_t max_size = 0;
        uint32_t group = 0;
        unsigned setups = 0;  ///< VQ_SETUP calls
        uint32_t num = 0;
        memory::Iova desc = 0;
        memory::Iova driver = 0;
        memory::Iova device = 0;
        uint16_t avail_index = 0;
        bool ready = false;
        unsigned ready_in = 0;  ///< VQ_GET_INFO calls that still report `ready` 0
        UniqueFd kickfd;
        bool kicked = false;
        std::atomic<unsigned> irqs = 0;
    };
    struct ConfigWrite {
        uint32_t offset;
        std::vector<uint8_t> bytes;
    };

    // ---- actions of the test

    /// Runs the device under test, for example `[&] { control->run_once(0); }`.
    std::function<void()> pump;
    /// Called with each answer before it takes effect.
    std::function<void(const uapi::abi::Request&, const uapi::abi::Response&)> on_response;
    /// Number of VQ_GET_INFO calls after the answer to SET_VQ_READY that still report `ready` 0.
    unsigned ready_delay = 2;

    /// Queues `request` and returns its id.
    uint32_t queue(uapi::abi::Request request);
    /// Queues `request` and pumps until it is answered. Returns nothing if it is not answered.
    std::optional<uapi::abi::Response> send(const uapi::abi::Request& request);
    /// The answer to request `id`, if it has arrived.
    [[nodiscard]] std::optional<uapi::abi::Response> answer(uint32_t id) const;
    /// Kills the caller that waits for request `id`. Writing its answer then fails with ENOENT.
    void kill_caller(uint32_t id);
    /// The kernel marks the device as broken.
    void give_up();

    // What vhost-vdpa and virtio_vdpa call. Returns true if the device answered OK or need not be
    // asked.
    bool set_status(uint8_t status);
    bool set_ready(uint32_t index, bool ready = true);
    bool set_group_asid(uint32_t group, uint32_t asid);
    bool suspend();
    /// Sends UPDATE_IOTLB: address space `asid` changed.
    bool update_iotlb(uint32_t asid);
    std::optional<uint16_t> get_vq_state(uint32_t index);
    void set_features(uint64_t bits) { driver_features = bits; }
    /// SET_VRING_NUM, _ADDR and _BASE. `avail_index`: where the device starts.
    void set_vq(uint32_t index, const ring::Layout& layout, uint16_t avail_index = 0);
    /// The driver kicks queue `index`.
    void kick(uint32_t index);

    /// Adds all regions of `memory`, or one region of a file, to address space `asid`. Sends no
    /// message.
    void map(uint32_t asid, const GuestMemory& memory);
    void map(
        uint32_t asid, memory::Iova first, memory::Iova last, int fd, uint64_t offset, uint8_t perm
    );
    void unmap(uint32_t asid, memory::Iova first);
    void unmap_all(uint32_t asid) { spaces[asid].clear(); }

    // ---- state of the kernel

    struct Mapped {
        memory::Iova first;
        memory::Iova last;
        uint64_t offset;
        uint8_t perm;
        UniqueFd file;
    };

    std::string name;
    uint64_t api_version = 0;
    uint64_t vduse_features = 0;  ///< negotiated
    uint64_t features = 0;
    uint32_t groups = 0;
    std::vector<uint8_t> config;
    std::vector<ConfigWrite> config_writes;
    std::unique_ptr<VirtQueue[]> vqs;
    uint32_t queues = 0;
    uint8_t status = 0;
    uint64_t driver_features = 0;
    bool suspended = false;
    bool broken = false;
    bool open = false;
    bool on_bus = false;  ///< VDUSE_DESTROY_DEV returns EBUSY
    uint64_t bounce_size = uint64_t{64} << 20;
    unsigned config_irqs = 0;
    std::vector<uint32_t> group_asids;
    std::vector<std::vector<Mapped>> spaces;

  private:
    friend class FakeDeviceNode;

    [[nodiscard]] bool driver_ok() const { return (status & 4) != 0; }
    bool ok(const uapi::abi::Request& request);
    void apply(const uapi::abi::Request& request, const uapi::abi::Response& response);
    void reset();
    void signal();

    Faults& faults_;
    UniqueFd node_end_;  ///< readable while a request is queued
    UniqueFd kernel_end_;
    uint32_t next_id_ = 1;
    std::deque<uapi::abi::Request> waiting_;
    std::map<uint32_t, uapi::abi::Request> read_;
    std::map<uint32_t, uapi::abi::Response> answers_;
};

class FakeKernel final : public uapi::Kernel {
  public:
    Result<std::unique_ptr<uapi::ControlNode>> open_control() override;
    Result<std::unique_ptr<uapi::DeviceNode>> open_device(
        const std::string& name, uint64_t api_version
    ) override;
    bool has_device(const std::string& name) override { return device(name) != nullptr; }
    std::string bus_driver(const std::string& /*name*/) override { return driver; }
    Result<uint64_t> bounce_size(const std::string& name) override;
    Result<void> set_bounce_size(const std::string& name, uint64_t bytes) override;
    std::string release() override { return running; }

    /// The device `name`, or nullptr.
    [[nodiscard]] FakeDevice* device(const std::string& name);

    enum class Linux : uint8_t {
        v6_12,  ///< API version 0
        v7_2,   ///< API version 1, without VDUSE_GET_FEATURES
        v7_3,
    };
    void be_linux(Linux version);

    bool refuse_ctrl_vq = false;  ///< refuse VIRTIO_NET_F_CTRL_VQ, as stock kernels up to 7.3 do
    uint64_t newest_version = 1;
    bool has_features = true;     ///< supports VDUSE_GET_FEATURES
    bool has_bounce_size = true;  ///< has the bounce_size attribute
    uint64_t vduse_features = uapi::abi::kFeatureQueueReady | uapi::abi::kFeatureSuspend;
    std::string running = "7.3.0-fake";
    std::string driver = "vhost_vdpa";
    Faults faults;

  private:
    friend class FakeControlNode;
    std::map<std::string, std::shared_ptr<FakeDevice>> devices_;
};

}  // namespace vduse::test
