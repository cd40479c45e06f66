// SPDX-License-Identifier: BSD-3-Clause

// Limits of QEMU with a device: doc/guide-migration.md.
#include <string>
#include <vector>

#include "app/options/options.h"
#include "options/keys.h"

namespace vduse::app {
namespace {

// Ring sizes of QEMU, in entries (doc/guide-migration.md).
constexpr uint16_t kQemuLeastRing = 256;
constexpr uint16_t kQemu10Ring = 1024;

}  // namespace

std::vector<std::string> qemu_limits(const Options& options) {
    std::vector<std::string> lines;
    for (const DeviceOptions& device : options.devices) {
        const DeviceConfig& config = device.config;
        if (config.attach != Attach::vhost)
            continue;
        const auto note = [&](const std::string& key, const std::string& consequence) {
            lines.push_back(config.name + ": " + key + ": " + consequence);
        };
        if (const unsigned least = keys::least_qemu(config); least != 0)
            note(
                "profile=full",
                "QEMU before " + std::to_string(least) +
                    " neither isolates the control queue nor migrates the guest"
            );
        if (config.spaces == 1 && config.ctrl_vq != CtrlVq::off)
            note("as=1", "QEMU needs two address spaces to start a device with a control queue");
        const std::string size = "queue_size=" + std::to_string(config.queue_size);
        if (config.queue_size == 0)
            continue;
        if (config.queue_size < kQemuLeastRing)
            note(size, "QEMU's rings have at least 256 entries");
        else if (config.queue_size < kQemu10Ring)
            note(
                size,
                "QEMU 10.0 needs rings of 1024 entries, other versions if rx_queue_size= is set to "
                "it"
            );
    }
    return lines;
}

}  // namespace vduse::app
