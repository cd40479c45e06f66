// SPDX-License-Identifier: BSD-3-Clause

// The kernel's side of VDUSE as three small interfaces: one function per ioctl, and no policy.
//
// Tests replace it by test/support/fake_kernel.h. `linux_kernel()` is the running kernel.
//
// Threads: control, except `inject_irq`, which any thread may call.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/fd.h"
#include "uapi/abi.h"
#include "vduse/result.h"

namespace vduse::uapi {

/// Arguments of VDUSE_CREATE_DEV.
struct CreateParameters {
    std::string name;
    uint64_t features = 0;
    uint32_t queues = 0;
    uint32_t groups = 0;  ///< groups and spaces: 0 with API version 0
    uint32_t spaces = 0;
    std::span<const uint8_t> config;
};

/// One region of an address space, with inclusive IOVAs. `offset` is the offset of `first` in
/// `file`.
struct IotlbRegion {
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t offset = 0;
    uint8_t perm = 0;  ///< see abi::IotlbEntry
    UniqueFd file;
};

/// /dev/vduse/control
class ControlNode {
  public:
    virtual ~ControlNode() = default;
    virtual Result<void> set_api_version(uint64_t version) = 0;
    virtual Result<uint64_t> get_features() = 0;
    virtual Result<void> set_features(uint64_t features) = 0;
    virtual Result<void> create(const CreateParameters& parameters) = 0;
    virtual Result<void> destroy(const std::string& name) = 0;
};

/// /dev/vduse/NAME, opened non-blocking
class DeviceNode {
  public:
    virtual ~DeviceNode() = default;

    /// Readable when a request waits. An error condition means that the kernel gave the device up.
    [[nodiscard]] virtual int fd() const = 0;
    /// The next request. Code EAGAIN: there is none.
    virtual Result<abi::Request> read_request() = 0;
    /// Code ENOENT: the requester was killed meanwhile, which is not a failure of the device.
    virtual Result<void> write_response(const abi::Response& response) = 0;

    /// The lowest region of space `asid` (0 with API version 0) that overlaps [first, last]. Code
    /// EINVAL: there is none.
    virtual Result<IotlbRegion> iotlb_region(uint32_t asid, uint64_t first, uint64_t last) = 0;
    virtual Result<uint64_t> driver_features() = 0;
    virtual Result<void> set_config(uint32_t offset, std::span<const uint8_t> bytes) = 0;
    virtual Result<void> inject_config_irq() = 0;
    virtual Result<void> vq_setup(uint32_t index, uint16_t max_size, uint32_t group) = 0;
    virtual Result<abi::VqInfo> vq_info(uint32_t index) = 0;
    /// `kickfd`: an eventfd, or -1 to remove it.
    virtual Result<void> vq_kickfd(uint32_t index, int kickfd) = 0;
    /// Returns 0 or an errno value. EINVAL: the driver cannot be interrupted now.
    virtual int inject_irq(uint32_t index) noexcept = 0;
};

class Kernel {
  public:
    virtual ~Kernel() = default;
    virtual Result<std::unique_ptr<ControlNode>> open_control() = 0;
    /// `api_version`: the version that was set when the device was made.
    virtual Result<std::unique_ptr<DeviceNode>> open_device(
        const std::string& name, uint64_t api_version
    ) = 0;
    /// Whether there is a node for device `name`.
    virtual bool has_device(const std::string& name) = 0;
    /// The vDPA bus driver that device `name` is bound to ("virtio_vdpa", "vhost_vdpa"), or "".
    virtual std::string bus_driver(const std::string& name) = 0;
    /// Bytes of bounce memory of device `name`, for all of its address spaces. Code ENOENT: this
    /// kernel does not have the attribute.
    virtual Result<uint64_t> bounce_size(const std::string& name) = 0;
    /// Code EPERM: too late, the device has been on the bus.
    virtual Result<void> set_bounce_size(const std::string& name, uint64_t bytes) = 0;
    /// The kernel's version, as `uname -r` prints it.
    virtual std::string release() = 0;
};

/// The running kernel.
Kernel& linux_kernel();

}  // namespace vduse::uapi
