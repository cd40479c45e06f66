#include "describe.h"

#include <rte_string_fns.h>

#include <string>
#include <variant>

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

/// A line for each fact; those of a fact stand below it.
void dump(FILE* file, const Facts& facts, int indent) {
    for (const Fact& fact : facts) {
        const std::string words = text_of(fact);
        const char* const gap = words.empty() ? "" : " ";
        std::fprintf(file, "%*s%s:%s%s\n", indent, "", fact.name.c_str(), gap, words.c_str());
        if (const auto* const more = std::get_if<Facts>(&fact.value))
            dump(file, *more, indent + 2);
    }
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
    std::fprintf(file, "VDUSE device\n");
    dump(file, describe(port_of(dev).info()), 2);
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
