// Names of bits, as the virtio specification and linux/vduse.h have them without their prefixes.
#include <array>
#include <cstddef>
#include <span>

#include "net/virtio_net.h"
#include "uapi/abi.h"
#include "vduse.h"

namespace vduse {
namespace {

struct Named {
    uint64_t bit;
    const char* name;
};

constexpr std::array kFeatureNames = std::to_array<Named>({
    {net::kFeatureMtu, "MTU"},
    {net::kFeatureMac, "MAC"},
    {net::kFeatureMergeable, "MRG_RXBUF"},
    {net::kFeatureStatus, "STATUS"},
    {net::kFeatureCtrlVq, "CTRL_VQ"},
    {net::kFeatureCtrlRx, "CTRL_RX"},
    {net::kFeatureCtrlVlan, "CTRL_VLAN"},
    {net::kFeatureCtrlRxExtra, "CTRL_RX_EXTRA"},
    {net::kFeatureMq, "MQ"},
    {net::kFeatureCtrlMacAddr, "CTRL_MAC_ADDR"},
    {net::kFeatureIndirect, "INDIRECT_DESC"},
    {net::kFeatureEventIdx, "EVENT_IDX"},
    {net::kFeatureVersion1, "VERSION_1"},
    {net::kFeatureAccessPlatform, "ACCESS_PLATFORM"},
    {net::kFeatureSpeedDuplex, "SPEED_DUPLEX"},
});

constexpr std::array kStatusNames = std::to_array<Named>({
    {net::kStatusAcknowledge, "ACKNOWLEDGE"},
    {net::kStatusDriver, "DRIVER"},
    {net::kStatusDriverOk, "DRIVER_OK"},
    {net::kStatusFeaturesOk, "FEATURES_OK"},
});

constexpr std::array kKernelNames = std::to_array<Named>({
    {uapi::abi::kFeatureQueueReady, "QUEUE_READY"},
    {uapi::abi::kFeatureSuspend, "SUSPEND"},
});

std::vector<std::string> names_of(uint64_t bits, std::span<const Named> table) {
    std::vector<std::string> names;
    for (unsigned number = 0; number < 64; ++number) {
        const uint64_t bit = net::bit(number);
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
