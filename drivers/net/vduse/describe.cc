// SPDX-License-Identifier: BSD-3-Clause

#include "describe.h"

#include <rte_string_fns.h>

#include <string>

#include "port.h"
#include "vduse/describe.h"
#include "vduse/info.h"

namespace vduse::pmd {
namespace {

int describe_burst(const Port& port, const char* more, rte_eth_burst_mode& mode) {
    const char* const mergeable = port.mergeable() ? " mergeable" : "";
    std::snprintf(mode.info, sizeof mode.info, "Split%s scalar%s", mergeable, more);
    return 0;
}

}  // namespace

int fw_version_get(rte_eth_dev* dev, char* text, size_t room) {
    const DeviceInfo info = port_of(dev).info();
    std::string version = "VDUSE API " + std::to_string(info.api_version);
    for (const std::string& name : kernel_feature_names(info.kernel_features))
        version += " " + name;
    if (room <= version.size())
        return static_cast<int>(version.size() + 1);
    rte_strscpy(text, version.c_str(), room);
    return 0;
}

int priv_dump(rte_eth_dev* dev, FILE* file) {
    for (const Fact& fact : describe(port_of(dev).info()))
        std::fprintf(file, "  %s: %s\n", fact.path.c_str(), text_of(fact).c_str());
    return 0;
}

int rx_burst_mode(rte_eth_dev* dev, uint16_t /*queue*/, rte_eth_burst_mode* mode) {
    const Port& port = port_of(dev);
    return describe_burst(port, port.scatter ? " scattered" : "", *mode);
}

int tx_burst_mode(rte_eth_dev* dev, uint16_t /*queue*/, rte_eth_burst_mode* mode) {
    return describe_burst(port_of(dev), "", *mode);
}

}  // namespace vduse::pmd
