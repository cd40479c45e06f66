#include "ports.h"

#include <rte_dev.h>
#include <rte_pci.h>

#include <string_view>
#include <utility>

#include "port.h"

namespace vduse::app {

std::vector<std::string> withhold_vdevs(std::vector<char*>& eal) {
    constexpr std::string_view kOption = "--vdev";
    std::vector<std::string> withheld;
    std::vector<char*> kept;
    for (size_t i = 0; i < eal.size(); ++i) {
        const std::string_view word = eal[i];
        if (word == kOption && i + 1 < eal.size())
            withheld.emplace_back(eal[++i]);
        else if (word.starts_with(std::string(kOption) + "="))
            withheld.emplace_back(word.substr(kOption.size() + 1));
        else
            kept.push_back(eal[i]);
    }
    eal = std::move(kept);
    return withheld;
}

Result<std::vector<uint16_t>> probe_ports(
    const std::vector<std::string>& vdevs, const std::vector<std::string>& names
) {
    for (const auto& arguments : vdevs)
        if (const int code = rte_dev_probe(arguments.c_str()); code != 0)
            return Error{-code, "--vdev " + arguments};
    std::vector<uint16_t> ports;
    for (const auto& name : names) {
        // Another process may have had it when the EAL looked at the PCI bus.
        if (rte_pci_addr address{};
            rte_pci_addr_parse(name.c_str(), &address) == 0 && !find_port(name))
            (void)rte_dev_probe(name.c_str());
        const auto port = find_port(name);
        if (!port)
            return port.error();
        ports.push_back(*port);
    }
    return ports;
}

}  // namespace vduse::app
