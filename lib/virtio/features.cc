// Names of bits, as the virtio specification and linux/vduse.h have them without their prefixes.
#include <array>
#include <cstddef>
#include <span>

#include "uapi/abi.h"
#include "vduse/config.h"
#include "vduse/info.h"
#include "virtio/features.h"

namespace vduse {
namespace {

struct Named {
    uint64_t bit;
    const char* name;
};

constexpr std::array kFeatureNames = std::to_array<Named>({
    {virtio::kFeatureMtu, "MTU"},
    {virtio::kFeatureMac, "MAC"},
    {virtio::kFeatureMergeable, "MRG_RXBUF"},
    {virtio::kFeatureStatus, "STATUS"},
    {virtio::kFeatureCtrlVq, "CTRL_VQ"},
    {virtio::kFeatureCtrlRx, "CTRL_RX"},
    {virtio::kFeatureCtrlVlan, "CTRL_VLAN"},
    {virtio::kFeatureCtrlRxExtra, "CTRL_RX_EXTRA"},
    {virtio::kFeatureMq, "MQ"},
    {virtio::kFeatureCtrlMacAddr, "CTRL_MAC_ADDR"},
    {virtio::kFeatureIndirect, "INDIRECT_DESC"},
    {virtio::kFeatureEventIdx, "EVENT_IDX"},
    {virtio::kFeatureVersion1, "VERSION_1"},
    {virtio::kFeatureAccessPlatform, "ACCESS_PLATFORM"},
    {virtio::kFeatureSpeedDuplex, "SPEED_DUPLEX"},
});

constexpr std::array kStatusNames = std::to_array<Named>({
    {virtio::kStatusAcknowledge, "ACKNOWLEDGE"},
    {virtio::kStatusDriver, "DRIVER"},
    {virtio::kStatusDriverOk, "DRIVER_OK"},
    {virtio::kStatusFeaturesOk, "FEATURES_OK"},
});

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
