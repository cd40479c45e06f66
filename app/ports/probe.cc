// SPDX-License-Identifier: BSD-3-Clause

#include "app/ports/probe.h"

#include <pthread.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_pci.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "app/ports/port.h"

namespace vduse::app {
namespace {

/// Drivers of virtual ports ask for the NUMA node of the thread. The EAL only knows the node of its
/// own threads and of threads that set their affinity through it.
void be_where_the_affinity_says() {
    rte_cpuset_t cpus{};
    if (pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus) == 0)
        (void)rte_thread_set_affinity(&cpus);
}

Error failed_probe(const std::string& arguments, int code) {
    if (code == -EFAULT)  // from rte_devargs_parse()
        return {EINVAL, "--vdev " + arguments + ": no driver for this device name"};
    return {code < 0 ? -code : EIO, "--vdev " + arguments + ": cannot be created"};
}

}  // namespace

std::vector<std::string> withhold_vdevs(std::vector<char*>& eal) {
    constexpr std::string_view kOption = "--vdev";
    constexpr std::string_view kShortest = "--vd";
    std::vector<std::string> withheld;
    std::vector<char*> kept;
    for (size_t i = 0; i < eal.size(); ++i) {
        const std::string_view word = eal[i];
        const std::string_view name = word.substr(0, word.find('='));
        const bool vdev = name.starts_with(kShortest) && kOption.starts_with(name);
        if (vdev && name != word)
            withheld.emplace_back(word.substr(name.size() + 1));
        else if (vdev && i + 1 < eal.size())
            withheld.emplace_back(eal[++i]);
        else
            kept.push_back(eal[i]);
    }
    eal = std::move(kept);
    return withheld;
}

Result<std::vector<uint16_t>> probe_ports(
    const std::vector<std::string>& vdevs, const std::vector<std::string>& names, bool pci_again
) {
    be_where_the_affinity_says();
    for (const auto& arguments : vdevs)
        if (const int code = rte_dev_probe(arguments.c_str()); code != 0)
            return failed_probe(arguments, code);
    std::vector<uint16_t> ports;
    for (const auto& name : names) {
        if (rte_pci_addr address{};
            pci_again && rte_pci_addr_parse(name.c_str(), &address) == 0 && !find_port(name))
            (void)rte_dev_probe(name.c_str());
        const auto port = find_port(name);
        if (!port)
            return port.error();
        ports.push_back(*port);
    }
    return ports;
}

void close_all_ports() {
    // In reverse order: a bonding port comes after its members.
    for (uint16_t port = RTE_MAX_ETHPORTS; port-- > 0;)
        if (rte_eth_dev_is_valid_port(port) != 0)
            stop_port(port);
}

}  // namespace vduse::app
