// The configuration space: the kernel has a copy, which we write by fields (its readers see no more
// than one field change at a time) and call the driver's attention to.
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/log.h"
#include "device/session.h"
#include "virtio/config_space.h"
#include "virtio/features.h"

namespace vduse::device {

void Session::set_link(bool up) {
    link_up_ = up;
    refresh_link();
}

void Session::refresh_link() {
    // A quarantined queue shows as a lost link: VDUSE has no DEVICE_NEEDS_RESET.
    bool up = link_up_;
    for (uint32_t i = 0; i < parts_.shape.queues(); ++i)
        up = up && !parts_.queues[i].quarantined;
    const uint16_t status = up ? virtio::kConfigLinkUp : uint16_t{0};
    if (status == config_status_)
        return;
    config_status_ = status;
    std::array<uint8_t, sizeof status> bytes{};
    std::memcpy(bytes.data(), &status, sizeof status);
    if (const auto set = parts_.node->set_config(offsetof(virtio::ConfigSpace, status), bytes);
        !set)
        log(Severity::error, "%s: %s", name(), set.error().text().c_str());
    remember();
    if (state_.driver_ok() && !state_.suspended)
        config_interrupt();
}

Result<void> Session::set_mac(const MacAddress& mac) {
    if ((parts_.shape.offered & virtio::kFeatureMac) == 0)
        return Error{ENOTSUP, parts_.config.name + ": the device was made without a MAC address"};
    if ((mac[0] & 1) != 0)
        return Error{EINVAL, parts_.config.name + ": a multicast address is nobody's"};
    mac_ = mac;
    // QEMU never sets DRIVER, so any bit is a driver whose control state is not ours to reset.
    if (state_.status == 0) {
        control_.reset(state_.features, mac_);
        publish(control_.state());
        remember();
    }
    return {};
}

void Session::set_config_mac(const MacAddress& mac) {
    if (mac == config_mac_)
        return;
    config_mac_ = mac;
    if (const auto set = parts_.node->set_config(offsetof(virtio::ConfigSpace, mac), mac); !set)
        log(Severity::error, "%s: %s", name(), set.error().text().c_str());
}

void Session::config_interrupt() {
    // EINVAL: the kernel has not recorded DRIVER_OK yet, for it still waits for our answer.
    const auto injected = parts_.node->inject_config_irq();
    owes_config_interrupt_ = !injected && injected.error().code == EINVAL;
}

}  // namespace vduse::device
