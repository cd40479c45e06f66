// SPDX-License-Identifier: BSD-3-Clause

// The journal of a device: loading returns the last saved record or nothing.
#include "persist/journal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/golden.h"
#include "support/temporary_folder.h"

namespace vduse::test {
namespace {

namespace fs = std::filesystem;
using persist::Journal;
using persist::Record;

constexpr size_t kRoom = 0x10000;  ///< bytes of a slot; slot i starts at (i + 1) * kRoom
constexpr size_t kHead = 32;

class JournalTest : public testing::Test {
  protected:
    using Bytes = std::vector<uint8_t>;

    TemporaryFolder folder;
    const std::string path = folder.path() + "/vd0.journal";

    [[nodiscard]] Journal::Reading read() const {
        auto journal = Journal::open(folder.path(), "vd0");
        EXPECT_TRUE(journal);
        return journal ? journal->load() : std::optional<Record>();
    }
    [[nodiscard]] std::optional<Record> load() const {
        auto reading = read();
        EXPECT_TRUE(reading) << reading.error().what;
        return reading ? *reading : std::nullopt;
    }
    /// Why this program refuses the journal, or "".
    [[nodiscard]] std::string refusal() const {
        const auto reading = read();
        if (reading)
            return "";
        EXPECT_EQ(reading.error().code, EPROTONOSUPPORT);
        return reading.error().what;
    }
    void save(uint8_t status) const {
        auto journal = Journal::open(folder.path(), "vd0");
        ASSERT_TRUE(journal);
        (void)journal->load();
        ASSERT_TRUE(journal->save(record(status)));
    }
    static Record record(uint8_t status) {
        Record result = golden_record();
        result.state.status = status;
        return result;
    }
    void flip(size_t at) const {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(static_cast<std::streamoff>(at));
        const char byte = static_cast<char>(file.get() ^ 0x10);
        file.seekp(static_cast<std::streamoff>(at));
        file.put(byte);
    }
    [[nodiscard]] Bytes content() const {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    void put(const Bytes& bytes) const {
        std::ofstream file(path, std::ios::binary);
        file.write(
            reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())
        );
    }
};

TEST_F(JournalTest, WhatWasSavedComesBack) {
    EXPECT_FALSE(load());
    save(0x0f);
    const auto loaded = load();
    ASSERT_TRUE(loaded);
    expect_same(*loaded, record(0x0f));
    const auto seen = Journal::read(folder.path(), "vd0");
    ASSERT_TRUE(seen && *seen) << "also by who has not opened it";
    EXPECT_EQ((*seen)->state.status, 0x0f);
}

TEST_F(JournalTest, TheLastOneCounts) {
    for (uint8_t status = 1; status < 6; ++status) {
        save(status);
        EXPECT_EQ(load()->state.status, status);
    }
}

TEST_F(JournalTest, NothingIsWrittenWhenNothingChanged) {
    auto journal = Journal::open(folder.path(), "vd0");
    ASSERT_TRUE(journal);
    ASSERT_TRUE(journal->save(record(1)));
    const Bytes before = content();
    ASSERT_TRUE(journal->save(record(1)));
    EXPECT_EQ(content(), before);
    ASSERT_TRUE(journal->save(record(2)));
    ASSERT_TRUE(journal->save(record(1)));
    EXPECT_EQ((*journal->load())->state.status, 1);
}

// If a bit of one slot is wrong, the record of the other slot is loaded.
TEST_F(JournalTest, ADamagedSlotIsPassedOver) {
    save(1);
    save(2);
    const size_t used = kHead + persist::to_bytes(record(1)).size();
    for (const size_t slot : {kRoom, 2 * kRoom}) {
        const bool newest = slot == kRoom;
        for (size_t at = 0; at < used; ++at) {
            flip(slot + at);
            if (newest && at >= 8 && at < 12) {
                EXPECT_NE(refusal(), "") << "its version, for all that we know";
            } else {
                const auto loaded = load();
                ASSERT_TRUE(loaded) << slot << " " << at;
                EXPECT_EQ(loaded->state.status, newest ? 1 : 2) << slot << " " << at;
            }
            flip(slot + at);
        }
    }
    flip(kRoom);
    flip(2 * kRoom + used - 1);
    EXPECT_FALSE(load()) << "both are damaged";
}

TEST_F(JournalTest, ShortAndForeignFilesAreNone) {
    save(1);
    save(2);
    fs::resize_file(path, 2 * kRoom + 50);
    EXPECT_EQ(load()->state.status, 2) << "the even one is first";
    fs::resize_file(path, kRoom + 100);
    EXPECT_FALSE(load());
    fs::resize_file(path, 0);
    EXPECT_FALSE(load());
    std::ofstream(path) << std::string(3 * kRoom, 'x');
    EXPECT_FALSE(load());
    save(3);
    EXPECT_EQ(load()->state.status, 3) << "and are written over";
}

// A slot with an impossible record is invalid even if its checksum is right; see record_test.cc.
TEST_F(JournalTest, WhatCannotBeIsNone) {
    Record bad = record(1);
    bad.control.active_pairs = 4;
    auto journal = Journal::open(folder.path(), "vd0");
    ASSERT_TRUE(journal);
    ASSERT_TRUE(journal->save(bad));
    const auto loaded = journal->load();
    ASSERT_TRUE(loaded);
    EXPECT_FALSE(*loaded);
}

// ---- other versions

// Version 3 is exactly these bytes and must stay so, including its later additions.
TEST_F(JournalTest, Golden) {
    for (const char* const name : {"journal-3.hex", "journal-3-offloads.hex"}) {
        Bytes bytes = golden(name);
        ASSERT_FALSE(bytes.empty());
        put(bytes);
        auto loaded = load();
        ASSERT_TRUE(loaded) << name;
        expect_same(*loaded, golden_record());
        bytes[kRoom + kHead] ^= 1;
        put(bytes);
        loaded = load();
        ASSERT_TRUE(loaded) << "the other slot of " << name;
        expect_same(*loaded, golden_fresh_record());
    }

    fs::remove(path);
    auto journal = Journal::open(folder.path(), "vd0");
    ASSERT_TRUE(journal);
    ASSERT_TRUE(journal->save(golden_fresh_record()));
    ASSERT_TRUE(journal->save(golden_record()));
    const Bytes written = content();
    Bytes bytes = golden("journal-3-offloads.hex");
    ASSERT_GE(written.size(), bytes.size());
    bytes.resize(written.size());
    EXPECT_EQ(written, bytes);
}

TEST_F(JournalTest, ASectionOfALaterProgram) {
    put(golden("journal-3-unknown.hex"));
    const auto loaded = load();
    ASSERT_TRUE(loaded);
    expect_same(*loaded, golden_fresh_record());
    put(golden("journal-3-must.hex"));
    EXPECT_EQ(
        refusal(),
        "its journal " + path +
            " has section 300, which this program does not know and must not pass over"
    );
}

TEST_F(JournalTest, AnotherVersionIsSaidToBe) {
    put(golden("journal-2.hex"));
    const std::string two =
        "its journal " + path + " is of version 2, and this program reads version 3";
    EXPECT_EQ(refusal(), two);
    Bytes once = golden("journal-2.hex");
    std::fill_n(once.begin(), kHead, uint8_t{0});
    put(once);
    EXPECT_EQ(refusal(), two) << "its first slot is behind the other";

    put(golden("journal-3.hex"));
    flip(kRoom + 8);
    EXPECT_EQ(
        refusal(), "its journal " + path + " is of version 19, and this program reads version 3"
    );
    EXPECT_FALSE(Journal::read(folder.path(), "vd0"));
    flip(kRoom + 8);
    flip(2 * kRoom + 8);
    EXPECT_EQ(refusal(), "") << "an older program's, before this one came";
}

// An older program took our journal for invalid, used the device and wrote its own version 2.
TEST_F(JournalTest, Version2AfterVersion3) {
    for (int i = 0; i < 5; ++i)
        save(static_cast<uint8_t>(i));
    Bytes bytes = content();
    const Bytes two = golden("journal-2.hex");
    std::copy(two.begin() + 13752, two.end(), bytes.begin() + 13752);
    put(bytes);
    EXPECT_NE(refusal().find("version 2"), std::string::npos);
}

// The device is created anew. Records of another program must not be loaded later, whatever their
// sequence number.
TEST_F(JournalTest, WhatIsNotOursGoesWithTheFirstRecord) {
    Bytes later = golden("journal-3.hex");
    for (const size_t slot : {kRoom, 2 * kRoom}) {
        later[slot + 8] = 4;
        later[slot + 16] = 200;
    }
    for (const Bytes& foreign : {golden("journal-2.hex"), golden("journal-3-must.hex"), later}) {
        put(foreign);
        EXPECT_NE(refusal(), "");
        save(5);
        EXPECT_EQ(load()->state.status, 5);
        save(6);
        EXPECT_EQ(load()->state.status, 6);
        const Bytes bytes = content();
        EXPECT_TRUE(std::all_of(bytes.begin(), bytes.begin() + kRoom, [](auto b) { return b == 0; })
        );
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
    EXPECT_FALSE(load());
    Journal::forget(folder.path(), "vd1");  // never existed
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
    const auto loaded = journal->load();
    EXPECT_TRUE(loaded && !*loaded) << "an old record is worse than none";
    EXPECT_TRUE(journal->save(record(2)));
    EXPECT_EQ((*journal->load())->state.status, 2) << "when there is room again";
}

}  // namespace
}  // namespace vduse::test
