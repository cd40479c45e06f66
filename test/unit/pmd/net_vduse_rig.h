// SPDX-License-Identifier: BSD-3-Clause

// A net_vduse port on the fake kernel, with both sides: the ethdev API and a guest driver. The
// guest driver's actions run on the control thread, because the fake kernel supports one thread
// only. Bursts run on the test's thread.
#pragma once

#include <gtest/gtest.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/lines.h"
#include "drivers/net/vduse/control_thread.h"
#include "net/header.h"
#include "support/session_rig.h"
#include "virtio/config_space.h"
#include "virtio/features.h"

namespace vduse::test {

using pmd::ControlThread;

class NetVduse : public SessionTest {
  protected:
    using Frames = std::vector<std::vector<uint8_t>>;

    static constexpr const char* kName = "net_vduse0";

    /// Unique per process, because the journals of all processes are in one folder.
    const std::string iface = "test" + std::to_string(::getpid());
    std::optional<ControlThread> thread;
    uint16_t port = RTE_MAX_ETHPORTS;

    NetVduse() {
        control.reset();
        auto shared = ControlThread::share(&kernel);
        EXPECT_TRUE(shared);
        thread.emplace(std::move(*shared));
    }
    ~NetVduse() override {
        if (port != RTE_MAX_ETHPORTS)
            unplug();
        thread.reset();
    }

    void on_control(const std::function<void()>& work) const {
        thread->run([&](Control& library) {
            vd0->pump = [&] { library.run_once(0); };
            work();
        });
    }
    [[nodiscard]] std::string devargs(const std::string& more = "") const {
        return "iface=" + iface + ",mac=02:00:00:00:00:07," + more;
    }
    /// The link status in the guest driver's configuration space.
    [[nodiscard]] bool carrier() const {
        uint8_t status = 0;
        on_control([&] { status = vd0->config[offsetof(virtio::ConfigSpace, status)]; });
        return status == virtio::kConfigLinkUp;
    }
    int plug(const std::string& arguments = "") {
        const std::string all = devargs(arguments);
        const int result = rte_eal_hotplug_add("vdev", kName, all.c_str());
        if (result == 0) {
            EXPECT_EQ(rte_eth_dev_get_port_by_name(kName, &port), 0);
            vd0 = kernel.device(iface);
        }
        return result;
    }
    void unplug() {
        EXPECT_EQ(rte_eal_hotplug_remove("vdev", kName), 0);
        port = RTE_MAX_ETHPORTS;
    }
    /// Configures the port with `rx` and `tx` queues. Does not start it.
    void set_up_port(uint16_t rx, uint16_t tx, rte_eth_conf conf = {}) {
        ASSERT_EQ(rte_eth_dev_configure(port, rx, tx, &conf), 0);
        for (uint16_t i = 0; i < rx; ++i)
            ASSERT_EQ(rte_eth_rx_queue_setup(port, i, 512, 0, nullptr, pool.get()), 0);
        for (uint16_t i = 0; i < tx; ++i)
            ASSERT_EQ(rte_eth_tx_queue_setup(port, i, 512, 0, nullptr), 0);
    }
    void start_port(uint16_t rx = 1, uint16_t tx = 1, rte_eth_conf conf = {}) {
        set_up_port(rx, tx, conf);
        ASSERT_EQ(rte_eth_dev_start(port), 0);
    }
    /// The lines that the PMD logs during `work`.
    template <class Work>
    static std::string lines_of(Work work) {
        testing::internal::CaptureStderr();
        work();
        (void)lines::flush(std::chrono::hours(1));
        return testing::internal::GetCapturedStderr();
    }
    void start_driver() {
        on_control([&] { plain_start(kBase & ~virtio::kFeatureMtu); });
        look();
    }
    /// Runs two turns of the control thread, so that it has polled the ports, and waits for the
    /// link status `expect_up`.
    void look() const {
        for (int turn = 0; turn < 2; ++turn)
            thread->run([](Control& library) { library.wake(); });
        const auto up = [&] { return link().link_status != 0; };
        for (int i = 0; i < 10000 && up() != expect_up; ++i)
            ::usleep(1000);
    }
    template <class Condition>
    static bool soon(Condition condition) {
        for (int i = 0; i < 10000 && !condition(); ++i)
            ::usleep(1000);
        return condition();
    }
    bool expect_up = true;
    [[nodiscard]] rte_eth_link link() const {
        rte_eth_link link{};
        EXPECT_EQ(rte_eth_link_get_nowait(port, &link), 0);
        return link;
    }
    Frames receive(uint16_t queue = 0) {
        std::array<rte_mbuf*, 100> frames;
        const uint16_t count = rte_eth_rx_burst(port, queue, frames.data(), frames.size());
        Frames contents;
        for (uint16_t i = 0; i < count; ++i) {
            EXPECT_EQ(frames[i]->port, port);
            contents.push_back(content(frames[i]));
            last_flags = frames[i]->ol_flags;
            last_tci = frames[i]->vlan_tci;
            rte_pktmbuf_free(frames[i]);
        }
        return contents;
    }
    uint64_t last_flags = 0;
    uint16_t last_tci = 0;
    /// The guest sends `frame` on `pair`.
    void guest_sends(const std::vector<uint8_t>& frame, uint16_t pair = 0) {
        const AddressPair at = guest.address(kBuffers + pair * 0x20000ULL + (sent_++ % 8) * 0x2800);
        std::memset(at.host, 0, net::kHeaderBytes);
        std::copy(
            frame.begin(), frame.end(), reinterpret_cast<uint8_t*>(at.host) + net::kHeaderBytes
        );
        ring(2U * pair + 1)
            .offer({{at.iova, static_cast<uint32_t>(net::kHeaderBytes + frame.size()), false}});
        ring(2U * pair + 1).publish();
    }
    void guest_offers(uint16_t pair, unsigned buffers) {
        for (unsigned i = 0; i < buffers; ++i)
            ring(2U * pair).offer({{kBuffers + 0x80000 + i * 0x1000, 2048, true}});
        ring(2U * pair).publish();
    }
    uint16_t send(uint16_t queue, rte_mbuf* frame) {
        const uint16_t count = rte_eth_tx_burst(port, queue, &frame, 1);
        if (count == 0)
            rte_pktmbuf_free(frame);
        return count;
    }
    rte_eth_stats stats() {
        rte_eth_stats stats{};
        EXPECT_EQ(rte_eth_stats_get(port, &stats), 0);
        return stats;
    }
    uint64_t xstat(const std::string& name) {
        uint64_t id = 0;
        uint64_t value = UINT64_MAX;
        EXPECT_EQ(rte_eth_xstats_get_id_by_name(port, name.c_str(), &id), 0) << name;
        EXPECT_EQ(rte_eth_xstats_get_by_id(port, &id, &value, 1), 1) << name;
        return value;
    }
    static std::vector<uint8_t> tagged(uint16_t vlan) {
        std::vector<uint8_t> frame = pattern(64);
        frame[12] = 0x81;
        frame[13] = 0;
        frame[14] = static_cast<uint8_t>(vlan >> 8);
        frame[15] = static_cast<uint8_t>(vlan);
        return frame;
    }

  private:
    unsigned sent_ = 0;
};

}  // namespace vduse::test
