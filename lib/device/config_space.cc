// SPDX-License-Identifier: BSD-3-Clause

#include "device/config_space.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/log.h"
#include "virtio/config_space.h"
#include "virtio/features.h"

namespace vduse::device {
namespace {

/// Not a valid `status`, so the next one is written in any case.
constexpr uint16_t kUnknownStatus = 0xffff;

}  // namespace

bool ConfigSpace::set_link(bool up) {
    const uint16_t status = up ? virtio::kConfigLinkUp : uint16_t{0};
    if (status == status_)
        return false;
    status_ = status;
    std::array<uint8_t, sizeof status> bytes{};
    std::memcpy(bytes.data(), &status, sizeof status);
    if (const auto set = node_.set_config(offsetof(virtio::ConfigSpace, status), bytes); !set)
        log(Severity::error, "%s: %s", name_.c_str(), set.error().text().c_str());
    return true;
}

void ConfigSpace::set_mac(const MacAddress& mac) {
    if (mac == mac_)
        return;
    mac_ = mac;
    if (const auto set = node_.set_config(offsetof(virtio::ConfigSpace, mac), mac); !set)
        log(Severity::error, "%s: %s", name_.c_str(), set.error().text().c_str());
}

void ConfigSpace::forget() {
    mac_.reset();
    status_ = kUnknownStatus;
}

void ConfigSpace::interrupt() {
    // EINVAL: the kernel has not recorded DRIVER_OK yet, because it still waits for the answer.
    const auto injected = node_.inject_config_irq();
    owes_interrupt_ = !injected && injected.error().code == EINVAL;
}

}  // namespace vduse::device
