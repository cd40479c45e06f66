// SPDX-License-Identifier: BSD-3-Clause

#include "bench/compare/setup.h"

#include <rte_eal.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace vduse::bench {

void start_eal(int cpu) {
    std::vector<std::string> arguments = {
        "bench",
        "--no-huge",
        "--no-pci",
        "--no-shconf",
        "--no-telemetry",
        "-m",
        "128",
        "--iova-mode=va",
        "--log-level=lib.eal:error",
        "--log-level=lib.vhost.config:error",
        "-l",
        std::to_string(cpu)};
    std::vector<char*> pointers;
    for (std::string& argument : arguments)
        pointers.push_back(argument.data());
    require(rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) >= 0, "rte_eal_init");
}

const char* json_option(int argc, char** argv) {
    if (argc == 3 && std::strcmp(argv[1], "--json") == 0)
        return argv[2];
    if (argc != 1) {
        std::fprintf(stderr, "usage: %s [--json FILE]\n", program_invocation_short_name);
        std::exit(2);
    }
    return nullptr;
}

rte_mempool* make_pool() {
    rte_mempool* const pool =
        rte_pktmbuf_pool_create("frames", 2047, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    require(pool != nullptr, "a pool of mbufs");
    return pool;
}

AddressPair rings_of(const Ram& ram, uint64_t side) {
    return AddressPair{ram.data(), Ram::kFirst}.behind(2 * Driver::kBytes * side);
}

void place_buffers(const Ram& ram, Where where, std::span<Side* const> sides) {
    constexpr uint64_t kStride = kBufferBytes + 256;
    constexpr uint64_t kBehindRings = 6 * Driver::kBytes;
    std::mt19937 random(1);
    std::vector<AddressPair> buffers;
    for (uint64_t i = 0; i < kRingSize; ++i) {
        const size_t region =
            where == Where::last ? ram.regions().size() - 1 : random() % ram.regions().size();
        const memory::Region& r = ram.regions()[region];
        buffers.push_back(AddressPair{r.host, r.first}.behind(kBehindRings + i * kStride));
    }
    for (Side* side : sides) {
        side->from_guest_driver.use(buffers);
        side->to_guest_driver.use(buffers);
    }
}

}  // namespace vduse::bench
