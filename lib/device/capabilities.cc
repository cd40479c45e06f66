// SPDX-License-Identifier: BSD-3-Clause

#include "device/capabilities.h"

#include <cerrno>

namespace vduse::device {

Result<Capabilities> agree(uapi::ControlNode& control) {
    using namespace uapi::abi;
    Capabilities capabilities;
    auto set = control.set_api_version(kApiVersion1);
    if (!set && set.error().code == EINVAL) {
        capabilities.api_version = kApiVersion0;
        set = control.set_api_version(kApiVersion0);
    }
    if (!set)
        return set.error();
    const auto features = control.get_features();
    // EINVAL: the kernel does not know this ioctl.
    if (!features && features.error().code != EINVAL)
        return features.error();
    if (features)
        capabilities.features = *features;
    const uint64_t wanted = capabilities.features & (kFeatureQueueReady | kFeatureSuspend);
    if (wanted != 0)
        if (const auto agreed = control.set_features(wanted); !agreed)
            return agreed.error();
    return capabilities;
}

Result<void> check(
    const DeviceConfig& config, const Capabilities& capabilities, const std::string& release
) {
    const auto needs_groups = [&](const std::string& option) {
        return Error{
            ENOTSUP,
            option + " needs VDUSE API version 1, and Linux " + release + " has version " +
                std::to_string(capabilities.api_version)};
    };
    if (!capabilities.groups() && config.groups != Groups::together)
        return needs_groups("groups=per-pair");
    if (!capabilities.groups() && config.spaces > 1)
        return needs_groups("as=" + std::to_string(config.spaces));
    return {};
}

std::string describe_missing(const Capabilities& capabilities) {
    std::string text;
    const auto lacks = [&](const char* what) {
        text += (text.empty() ? "" : ", ") + std::string(what);
    };
    if (!capabilities.groups())
        lacks("API version 1 (QEMU cannot keep the control queue in an address space of its own)");
    if (!capabilities.queue_ready())
        lacks("VDUSE_F_QUEUE_READY (a queue that becomes ready late starts by its first kick)");
    if (!capabilities.suspend())
        lacks("VDUSE_F_SUSPEND (frames may be lost when QEMU stops or migrates a guest)");
    return text;
}

}  // namespace vduse::device
