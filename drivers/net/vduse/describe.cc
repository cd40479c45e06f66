#include "describe.h"

#include <rte_string_fns.h>

#include <cinttypes>
#include <string>
#include <vector>

#include "port.h"
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
    const Port& port = port_of(dev);
    const DeviceInfo info = port.info();
    const auto list = [&](const char* what, const std::vector<std::string>& names) {
        std::fprintf(file, "  %s:", what);
        for (const std::string& name : names)
            std::fprintf(file, " %s", name.c_str());
        std::fprintf(file, "\n");
    };
    std::fprintf(file, "VDUSE device %s\n", port.name().c_str());
    list("status", status_names(info.status));
    list("features", feature_names(info.features));
    std::fprintf(
        file, "  queue pairs: %u, in use %u\n", info.queue_pairs, port.device->active_pairs()
    );
    for (size_t i = 0; i < info.groups.size(); ++i) {
        const GroupInfo& group = info.groups[i];
        std::fprintf(
            file,
            "  group %zu: queues %u to %u%s, address space %u\n",
            i,
            group.first_queue,
            group.last_queue,
            group.control ? " (control)" : "",
            group.asid
        );
    }
    for (size_t i = 0; i < info.spaces.size(); ++i)
        for (const RegionInfo& region : info.spaces[i])
            std::fprintf(
                file,
                "  space %zu: 0x%" PRIx64 "-0x%" PRIx64 " %s%s node %d\n",
                i,
                region.first,
                region.last,
                region.readable ? "r" : "",
                region.writable ? "w" : "",
                region.node
            );
    for (const std::string& problem : info.problems)
        std::fprintf(file, "  problem: %s\n", problem.c_str());
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
