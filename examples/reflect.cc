// SPDX-License-Identifier: BSD-3-Clause

// An example of a program that uses the library: its VDUSE device sends every frame back with its
// MAC addresses swapped.
//
//     g++ -std=c++20 -O2 -o reflect reflect.cc $(pkg-config --cflags --libs vduse)
//     ./reflect --no-pci -- vd0
//     vdpa dev add name vd0 mgmtdev vduse       in another terminal; afterwards:
//     vdpa dev del vd0                          before the program is stopped
//
// The main thread is the control thread: it answers the kernel. Another thread moves frames.
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include <vduse/device.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <span>
#include <thread>
#include <utility>

namespace {

std::atomic<bool> stopped = false;

int failed(const vduse::Error& error) {
    std::fprintf(stderr, "reflect: %s\n", error.text().c_str());
    return 1;
}

void reflect(const vduse::QueuePair& pair, rte_mempool* pool) {
    std::array<rte_mbuf*, 32> room{};
    while (!stopped) {
        const std::span frames(room.data(), pair.from_guest(pool, room));
        for (rte_mbuf* const frame : frames) {
            // The library returns no frame that is shorter than an Ethernet header.
            auto* const header = rte_pktmbuf_mtod(frame, rte_ether_hdr*);
            std::swap(header->src_addr, header->dst_addr);
        }
        const uint16_t taken = pair.to_guest(frames);
        rte_pktmbuf_free_bulk(frames.data() + taken, static_cast<unsigned>(frames.size()) - taken);
        if (frames.empty())
            rte_pause();
    }
}

}  // namespace

int main(int argc, char** argv) {
    const int eal = rte_eal_init(argc, argv);
    if (eal < 0 || eal + 2 != argc) {
        std::fprintf(stderr, "usage: reflect [EAL options] -- NAME\n");
        return 2;
    }
    rte_mempool* const pool =
        rte_pktmbuf_pool_create("frames", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool == nullptr)
        return failed({rte_errno, "a pool of mbufs"});
    auto control = vduse::Control::create();
    if (!control)
        return failed(control.error());
    vduse::DeviceConfig config;
    config.name = argv[eal + 1];
    auto device = (*control)->add(config);
    if (!device)
        return failed(device.error());
    for (const int number : {SIGINT, SIGTERM})
        std::signal(number, [](int) { stopped = true; });

    std::thread data([&] { reflect((*device)->queue_pair(0), pool); });
    (*device)->set_link(true);
    while (!stopped)
        (*control)->run_once(100);
    data.join();
    if (auto gone = (*device)->destroy(); !gone)
        return failed(gone.error());
    return 0;
}
