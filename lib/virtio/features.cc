// SPDX-License-Identifier: BSD-3-Clause

// How it works: see features.h. Status bits and the features of VDUSE itself have only names.
#include "virtio/features.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include "uapi/abi.h"
#include "vduse/info.h"

namespace vduse {
namespace {

struct Named {
    uint64_t bit;
    std::string_view name;
};

constexpr auto kFeatureNames = [] {
    std::array<Named, virtio::kFeatures.size()> names{};
    std::ranges::transform(virtio::kFeatures, names.begin(), [](const virtio::Feature& row) {
        return Named{virtio::bit(row.number), row.name};
    });
    return names;
}();

constexpr std::array kStatusNames = std::to_array<Named>({
    {virtio::kStatusAcknowledge, "ACKNOWLEDGE"},
    {virtio::kStatusDriver, "DRIVER"},
    {virtio::kStatusDriverOk, "DRIVER_OK"},
    {virtio::kStatusFeaturesOk, "FEATURES_OK"},
});

// As in linux/vduse.h.
constexpr std::array kKernelNames = std::to_array<Named>({
    {uapi::abi::kFeatureQueueReady, "QUEUE_READY"},
    {uapi::abi::kFeatureSuspend, "SUSPEND"},
});

std::vector<std::string> names_of(uint64_t bits, std::span<const Named> table) {
    std::vector<std::string> names;
    for (unsigned number = 0; number < 64; ++number) {
        const uint64_t bit = virtio::bit(number);
        if ((bits & bit) == 0)
            continue;
        std::string name = "bit" + std::to_string(number);
        for (const Named& row : table)
            if (row.bit == bit)
                name = row.name;
        names.push_back(std::move(name));
    }
    return names;
}

}  // namespace

uint64_t virtio::offered_features(const DeviceConfig& config, bool with_control) {
    uint64_t offered = 0;
    const auto has = [&](std::string_view name) {
        const Feature* const row = find_feature(name);
        return row != nullptr && (offered & bit(row->number)) != 0;
    };
    for (const Feature& row : kFeatures) {
        const bool wanted = (row.needs.empty() || has(row.needs)) &&
                            (row.useless_without.empty() || has(row.useless_without)) &&
                            (row.member == nullptr || config.*row.member) &&
                            (row.applies == nullptr || row.applies(config)) &&
                            (row.qemu == 0 || config.profile == Profile::full);
        if (wanted && (with_control || row.name != "CTRL_VQ"))
            offered |= bit(row.number);
    }
    return offered;
}

std::vector<std::string> feature_names(uint64_t features) {
    return names_of(features, kFeatureNames);
}

std::vector<std::string> status_names(uint8_t status) {
    return names_of(status, kStatusNames);
}

std::vector<std::string> kernel_feature_names(uint64_t features) {
    return names_of(features, kKernelNames);
}

}  // namespace vduse
