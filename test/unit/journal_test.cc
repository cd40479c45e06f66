// The journal of a device: what was saved last comes back, or nothing does.
#include "device/journal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/temporary_folder.h"

namespace vduse::test {
namespace {

namespace fs = std::filesystem;
using device::Journal;
using device::Record;

class JournalTest : public testing::Test {
  protected:
    TemporaryFolder folder;
    const std::string path = folder.path() + "/vd0.journal";

    [[nodiscard]] std::optional<Record> load() const {
        auto journal = Journal::open(folder.path(), "vd0");
        EXPECT_TRUE(journal);
        return journal ? journal->load() : std::nullopt;
    }
    void save(uint8_t status) const {
        auto journal = Journal::open(folder.path(), "vd0");
        ASSERT_TRUE(journal);
        (void)journal->load();
        ASSERT_TRUE(journal->save(record(status)));
    }
    static Record record(uint8_t status) {
        net::ControlState control;
        control.filter.mac = {2, 0, 0, 0, 0, status};
        control.filter.promiscuous = false;
        control.filter.no_unicast = true;
        control.filter.vlan_filtering = true;
        control.filter.unicast.addresses = {{2, 0, 0, 0, 1, 1}, {2, 0, 0, 0, 1, 2}};
        control.filter.multicast.everything = true;
        control.filter.vlans.set(7);
        control.active_pairs = 2;
        Record result;
        result.shape = {2, 0xff, true, 3};
        result.queue_size = 256;
        result.state.status = status;
        result.state.asid[1] = 2;
        result.state.ready_bits[0] = 5;
        result.config_status = 1;
        result.control = device::to_record(control);
        return result;
    }
    void flip(std::streamoff at) const {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(at);
        const char byte = static_cast<char>(file.get() ^ 0x10);
        file.seekp(at);
        file.put(byte);
    }
};

TEST_F(JournalTest, WhatWasSavedComesBack) {
    EXPECT_EQ(load(), std::nullopt);
    save(0x0f);
    const auto loaded = load();
    ASSERT_TRUE(loaded);
    const Record expected = record(0x0f);
    EXPECT_EQ(loaded->shape, expected.shape);
    EXPECT_EQ(loaded->queue_size, 256);
    EXPECT_EQ(loaded->state, expected.state);
    EXPECT_EQ(loaded->config_status, 1);
    const net::ControlState control = device::from_record(loaded->control);
    EXPECT_EQ(control.filter.mac[5], 0x0f);
    EXPECT_FALSE(control.filter.promiscuous);
    EXPECT_FALSE(control.filter.all_unicast);
    EXPECT_TRUE(control.filter.no_unicast);
    EXPECT_TRUE(control.filter.vlan_filtering);
    EXPECT_EQ(control.filter.unicast.addresses.size(), 2U);
    EXPECT_EQ(control.filter.unicast.addresses[1][5], 2);
    EXPECT_TRUE(control.filter.multicast.everything);
    EXPECT_TRUE(control.filter.vlans.test(7));
    EXPECT_EQ(control.filter.vlans.count(), 1U);
    EXPECT_EQ(control.active_pairs, 2);
}

TEST_F(JournalTest, TheLastOneCounts) {
    for (uint8_t status = 1; status < 6; ++status) {
        save(status);
        EXPECT_EQ(load()->state.status, status);
    }
}

// Wherever a bit is wrong, the record before is there, or this one when it was the other's.
TEST_F(JournalTest, ADamagedSlotIsPassedOver) {
    save(1);
    save(2);
    const auto bytes = static_cast<std::streamoff>(fs::file_size(path));
    bool older = false;
    for (std::streamoff at = 0; at < bytes; at += 101) {
        flip(at);
        const auto loaded = load();
        ASSERT_TRUE(loaded) << at;
        EXPECT_EQ(loaded->state.status, at < bytes / 2 ? 1 : 2) << at;
        older = older || loaded->state.status == 1;
        flip(at);
    }
    EXPECT_TRUE(older);
    flip(0);
    flip(bytes - 1);
    EXPECT_EQ(load(), std::nullopt) << "both are damaged";
}

TEST_F(JournalTest, ShortAndForeignFilesAreNone) {
    save(1);
    save(2);
    const size_t slot = fs::file_size(path) / 2;
    fs::resize_file(path, slot + slot / 2);
    EXPECT_EQ(load()->state.status, 2) << "the even one is first";
    fs::resize_file(path, slot / 4);
    EXPECT_EQ(load(), std::nullopt);
    fs::resize_file(path, 0);
    EXPECT_EQ(load(), std::nullopt);
    std::ofstream(path) << std::string(3 * slot, 'x');
    EXPECT_EQ(load(), std::nullopt);
    save(3);
    EXPECT_EQ(load()->state.status, 3) << "and are written over";
}

TEST_F(JournalTest, WhatCannotBeIsNone) {
    const auto spoilt = [](auto spoil) {
        Record result = record(1);
        spoil(result);
        return result;
    };
    const Record all[] = {
        spoilt([](Record& r) { r.shape.pairs = 0; }),
        spoilt([](Record& r) { r.shape.pairs = 129; }),
        spoilt([](Record& r) { r.shape.spaces = 0; }),
        spoilt([](Record& r) { r.shape.spaces = 130; }),
        spoilt([](Record& r) { r.state.asid[1] = 3; }),
        spoilt([](Record& r) { r.state.sticky_asid[128] = 3; }),
        spoilt([](Record& r) { r.state.features = 0x100; }),
        spoilt([](Record& r) { r.control.unicast.count = 1025; }),
        spoilt([](Record& r) { r.control.multicast.count = 0xffffffff; }),
        spoilt([](Record& r) { r.control.active_pairs = 0; }),
        spoilt([](Record& r) { r.control.active_pairs = 3; }),
    };
    for (const Record& bad : all) {
        fs::remove(path);
        auto journal = Journal::open(folder.path(), "vd0");
        ASSERT_TRUE(journal);
        ASSERT_TRUE(journal->save(bad));
        EXPECT_EQ(journal->load(), std::nullopt) << &bad - all;
    }
}

TEST_F(JournalTest, OneProcessAtATime) {
    const auto first = Journal::open(folder.path(), "vd0");
    ASSERT_TRUE(first);
    const auto second = Journal::open(folder.path(), "vd0");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EBUSY);
    EXPECT_TRUE(Journal::open(folder.path(), "vd1"));
}

TEST_F(JournalTest, Forgotten) {
    save(1);
    Journal::forget(folder.path(), "vd0");
    EXPECT_EQ(load(), std::nullopt);
    Journal::forget(folder.path(), "vd1");  // which never was
}

TEST_F(JournalTest, NoFolderAndNoRoom) {
    EXPECT_FALSE(Journal::open(folder.path() + "/a/b", "vd0"));
    save(1);
    auto journal = Journal::open(folder.path(), "vd0");
    ASSERT_TRUE(journal);
    ASSERT_TRUE(journal->load());
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)std::signal(SIGXFSZ, SIG_IGN);
    const rlimit little{100, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &little), 0);
    EXPECT_FALSE(journal->save(record(2)));
    EXPECT_NE(errno, 0);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(journal->load(), std::nullopt) << "an old record is worse than none";
}

}  // namespace
}  // namespace vduse::test
