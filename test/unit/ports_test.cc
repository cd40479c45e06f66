// The ports of the command line: withheld from the EAL, found later, or a mistake.
#include "ports.h"

#include <gtest/gtest.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include <cerrno>
#include <thread>

#include "support/eal.h"

namespace vduse::test {
namespace {

TEST(Ports, VdevsAreWithheldFromTheEal) {
    std::string words[] = {
        "vduse-dp", "--vdev", "net_tap0,iface=a", "-l", "0-1", "--vd=net_tap1", "--vdevs"};
    std::vector<char*> eal;
    for (std::string& word : words)
        eal.push_back(word.data());
    EXPECT_EQ(app::withhold_vdevs(eal), (std::vector<std::string>{"net_tap0,iface=a", "net_tap1"}));
    ASSERT_EQ(eal.size(), 4U);
    EXPECT_STREQ(eal[1], "-l");
    EXPECT_TRUE(app::withhold_vdevs(eal).empty());
    std::string last = "--vdev";
    eal.push_back(last.data());
    EXPECT_TRUE(app::withhold_vdevs(eal).empty());
    EXPECT_EQ(eal.size(), 5U) << "without a value: the EAL complains";
}

TEST(Ports, AreProbedInTheOrderOfTheirNames) {
    const auto ports = app::probe_ports(
        {"net_null_b", "net_null_a,size=128"}, {"net_null_a", "net_null_b"}, false
    );
    ASSERT_TRUE(ports) << ports.error().text();
    EXPECT_EQ(*ports, (std::vector<uint16_t>{1, 0}));
}

// As the helper does it, which is no thread of the EAL.
TEST(Ports, AreOnTheNodeOfTheThread) {
    std::thread([] {
        const auto ports = app::probe_ports({"net_null_e"}, {"net_null_e"}, false);
        ASSERT_TRUE(ports) << ports.error().text();
        EXPECT_EQ(rte_eth_dev_socket_id(ports->front()), static_cast<int>(rte_socket_id()));
        EXPECT_GE(rte_eth_dev_socket_id(ports->front()), 0);
    }).join();
}

TEST(Ports, AllAreClosed) {
    ASSERT_TRUE(app::probe_ports({"net_null_f"}, {}, false));
    EXPECT_GT(rte_eth_dev_count_avail(), 0);
    app::close_all_ports();
    EXPECT_EQ(rte_eth_dev_count_avail(), 0);
}

TEST(Ports, ThatDoNotExist) {
    const auto misspelt = app::probe_ports({"net_nul0"}, {}, false);
    ASSERT_FALSE(misspelt);
    EXPECT_EQ(misspelt.error().code, EINVAL);
    EXPECT_EQ(misspelt.error().what, "--vdev net_nul0: no driver has a device of such a name");
    const auto missing = app::probe_ports({"net_null_c"}, {"net_null_d"}, true);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, EINVAL);
    EXPECT_EQ(
        missing.error().what.find("--port net_null_d: no such DPDK port, existing ports: "), 0U
    );
}

}  // namespace
}  // namespace vduse::test
