// SPDX-License-Identifier: BSD-3-Clause

// --config FILE: what an INI file may contain. Errors name the file and what is valid.
#include "app/options/ini_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "app/options/options.h"
#include "app/options/whole_file.h"
#include "base/fd.h"

namespace vduse::app {
namespace {

/// A temporary file. The destructor removes it.
class TemporaryFile {
  public:
    explicit TemporaryFile(const std::string& content) {
        const UniqueFd file(::mkstemp(name_.data()));
        EXPECT_TRUE(file);
        std::ofstream(name_) << content;
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { std::remove(name_.c_str()); }
    [[nodiscard]] const std::string& name() const { return name_; }

  private:
    std::string name_ = "/tmp/vduse-config-XXXXXX";
};

Result<Options> parse(const std::vector<std::string>& words) {
    std::vector<const char*> pointers;
    for (const auto& word : words)
        pointers.push_back(word.c_str());
    return parse_options(pointers);
}

Result<Options> parse_file(const std::string& content) {
    const TemporaryFile file(content);
    return parse({"--config", file.name()});
}

/// Checks that the error is one line, starts with the name of the file and contains `parts`.
void expect_refused(const std::string& content, std::initializer_list<std::string> parts) {
    const TemporaryFile file(content);
    const auto options = parse({"--config", file.name()});
    ASSERT_FALSE(options) << content;
    const std::string& text = options.error().what;
    EXPECT_TRUE(text.starts_with(file.name() + ": ")) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    for (const std::string& part : parts)
        EXPECT_NE(text.find(part), std::string::npos) << text << "\n  without: " << part;
}

const char* const kDevices = "[device vd0]\n[device vd1]\n[port p0]\n";

TEST(Config, EverythingAtOnce) {
    const auto options = parse_file(
        "; a comment\n"
        "[vduse-dp]\n"
        "stats = 5\n"
        "idle_us = 100\n"
        "gro = off\n"
        "[patch]\n"
        "a = vd0\n"
        "b = 0000:03:00.0\n"
        "\n"
        "[device vd0]\n"
        "queues=4 ; pairs\n"
        "mtu=9000\n"
        "mac=02:00:00:00:00:01\n"
        "attach=virtio\n"
        "[device vd1]\n"
        "profile=full\n"
        "[device vd2]\n"
        "[port 0000:03:00.0]\n"
        "queues_of_port = 2\n"
        "[port p1]\n"
        "[reflect]\n"
        "endpoint=vd1\n"
        "[bridge]\n"
        "members=vd2, p1\n"
        "age=60\n"
    );
    ASSERT_TRUE(options) << options.error().what;
    EXPECT_EQ(options->stats_seconds, 5U);
    EXPECT_EQ(options->idle_us, 100U);
    EXPECT_FALSE(options->gro);
    ASSERT_EQ(options->devices.size(), 3U);
    const DeviceOptions& vd0 = options->devices[0];
    EXPECT_EQ(vd0.config.name, "vd0");
    EXPECT_EQ(vd0.config.queue_pairs, 4);
    EXPECT_EQ(vd0.config.mtu, 9000);
    EXPECT_EQ(vd0.config.mac, (std::array<uint8_t, 6>{2, 0, 0, 0, 0, 1}));
    EXPECT_EQ(vd0.config.attach, Attach::virtio);
    EXPECT_EQ(options->devices[1].config.profile, Profile::full);
    EXPECT_EQ(options->devices[2].config.mtu, 1500);
    ASSERT_EQ(options->ports.size(), 2U);
    EXPECT_EQ(options->ports[0].name, "0000:03:00.0");
    EXPECT_EQ(options->ports[0].queues, 2);
    EXPECT_EQ(options->ports[1].name, "p1");
    EXPECT_EQ(options->ports[1].queues, 0);
    ASSERT_EQ(options->patches.size(), 1U);
    EXPECT_EQ(options->patches[0].b, (EndpointOption{true, 0}));
    EXPECT_EQ(options->reflects, (std::vector<EndpointOption>{{false, 1}}));
    ASSERT_EQ(options->bridges.size(), 1U);
    EXPECT_EQ(options->bridges[0].members, (std::vector<EndpointOption>{{false, 2}, {true, 1}}));
    EXPECT_EQ(options->bridges[0].age_seconds, 60U);
}

TEST(Config, SectionsComeAsOftenAsTheirOptions) {
    const auto options = parse_file(
        "[device a]\n[device b]\n[device c]\n[device d]\n[patch]\na=a\nb=b\n[patch]\na=c\nb=d\n"
    );
    ASSERT_TRUE(options) << options.error().what;
    ASSERT_EQ(options->patches.size(), 2U);
    EXPECT_EQ(options->patches[1].a, (EndpointOption{false, 2}));
    EXPECT_EQ(options->patches[1].b, (EndpointOption{false, 3}));
}

TEST(Config, TheCommandLineAddsToIt) {
    const TemporaryFile file("[device vd0]\nmtu=9000\n");
    const auto options =
        parse({"--patch", "vd0:p0", "--config", file.name(), "--port", "p0", "--stats", "3"});
    ASSERT_TRUE(options) << options.error().what;
    EXPECT_EQ(options->devices[0].config.mtu, 9000);
    EXPECT_EQ(options->patches.size(), 1U);
    EXPECT_EQ(options->stats_seconds, 3U);
    const auto twice = parse({"--config=" + file.name(), "--device", "vd0"});
    ASSERT_FALSE(twice);
    EXPECT_TRUE(twice.error().what.starts_with("--device vd0")) << twice.error().what;
}

TEST(Config, KeysOfDevicesAreThoseOfTheCommandLine) {
    expect_refused(
        "[device vd0]\nquues=2\n",
        {"--device vd0", "unknown key 'quues'", "queues, queue_size, bounce, mac, mtu"}
    );
    expect_refused("[device vd0]\nmtu=1\n", {"--device vd0", "mtu=1", "68 to 9702"});
    expect_refused("[device vd0]\nmtu=\n", {"mtu=", "68 to 9702"});
    expect_refused("[device vd0]\nmtu=1500\nmtu=1500\n", {"mtu is given twice"});
    expect_refused("[device vd0]\nmtu=1500,queues=2\n", {"[device vd0]: mtu: a comma"});
    expect_refused("[device vd0,mtu=1500]\n", {"a comma is not valid in a name"});
    expect_refused("[device a/b]\n", {"--device", "letters"});
    expect_refused("[device vd0]\n[device vd0]\n", {"vd0", "given twice"});
}

TEST(Config, UnknownSectionsAreNamedWithTheValidOnes) {
    const char* const valid =
        "valid sections: [device NAME], [port NAME], [patch], [reflect], [bridge], [group-lcore], "
        "[vduse-dp]";
    for (const char* section : {"devices vd0", "device", "patch x", "global", "Device vd0"})
        expect_refused(std::string("[") + section + "]\n", {"unknown section [", section, valid});
}

TEST(Config, KeysOfOtherSections) {
    const std::string known = kDevices;
    expect_refused(known + "[patch]\nc=vd0\n", {"[patch]: unknown key 'c', valid keys: a, b"});
    expect_refused(known + "[patch]\na=vd0\n", {"[patch]: b is missing"});
    expect_refused(known + "[patch]\na=vd0\na=vd1\nb=p0\n", {"[patch]: a is given twice"});
    expect_refused(known + "[reflect]\n", {"[reflect]: endpoint is missing"});
    expect_refused(known + "[bridge]\nage=5\n", {"[bridge]: members is missing"});
    expect_refused(
        known + "[port p1]\nmtu=5\n", {"--port p1: unknown key 'mtu', valid keys: queues_of_port"}
    );
    expect_refused(
        known + "[group-lcore]\ndevice=vd0\ngroup=0\n", {"[group-lcore]: lcore is missing"}
    );
    expect_refused(
        known + "[group-lcore]\ndevice=p0\ngroup=0\nlcore=1\n", {"--group-lcore p0:0=1", "p0"}
    );
    expect_refused(
        known + "[vduse-dp]\nlog=1\n", {"unknown key 'log', valid keys: stats, idle_us, gro"}
    );
    expect_refused(known + "[vduse-dp]\nstats=0\n", {"--stats 0", "1 to 86400"});
}

TEST(Config, WhatIsResolvedLaterIsSaidWithTheFileToo) {
    const std::string known = kDevices;
    expect_refused(known + "[patch]\na=vd0\nb=x\n", {"--patch vd0:x", "'x'", "vd0, vd1, p0"});
    expect_refused(known + "[reflect]\nendpoint=x\n", {"--reflect", "'x'", "vd0, vd1, p0"});
    expect_refused(known + "[bridge]\nmembers=vd0\n", {"--bridge vd0", "2 to 64"});
    expect_refused(known + "[bridge]\nmembers=vd0,x\n", {"--bridge vd0,x", "'x'"});
}

TEST(Config, FilesThatCannotBeRead) {
    const auto missing = parse({"--config", "/nowhere/vduse.ini"});
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().what, "/nowhere/vduse.ini: No such file or directory");
    expect_refused("mtu=5\n[device vd0]\n", {"[sections]", "key=value"});
    expect_refused("[device vd0\n", {"line 1 is not a [section] alone"});
    expect_refused("[device vd0] mtu=5\n", {"line 1 is not a [section] alone"});
    expect_refused("[device vd0]\nmtu 9000\n", {"line 2 is neither [section] nor key=value"});
    expect_refused("; first\n\n [device vd0]\n", {"line 3 is neither [section] nor key=value"});
    expect_refused("[device vd0]\n# mtu\n", {"line 2", "comments begin with ';'"});
    // Longer names and values would be truncated.
    const std::string longest(56, 'x');
    EXPECT_TRUE(parse_file("[device " + longest + "]\n"));
    expect_refused("[device " + longest + "x]\n", {"line 1 is too long", "63 characters"});
    expect_refused("[device a]\n" + std::string(64, 'x') + "=1\n", {"line 2 is too long"});
    const std::string list(255, 'x');
    expect_refused(kDevices + ("[bridge]\nmembers=" + list), {"'" + list + "' is not a --device"});
    expect_refused(
        kDevices + ("[bridge]\nmembers=" + list + "x"), {"line 5 is too long", "values 255"}
    );
}

// An unreadable file is an error, not an empty file.
TEST(Config, ReadsThatFail) {
    const auto complaint = [](const std::string& file) {
        const auto options = parse({"--device", "vd0", "--config", file});
        return options ? "accepted" : options.error().what;
    };
    EXPECT_EQ(complaint("/proc/self"), "/proc/self: Is a directory");
    EXPECT_EQ(complaint("/proc/self/mem"), "/proc/self/mem: Input/output error");
    EXPECT_EQ(complaint("/dev/zero"), "/dev/zero: it has more than 1048576 bytes");
    EXPECT_EQ(complaint("/dev/null"), "accepted");
}

// A partly read file is an error too.
TEST(Config, AReadThatFailsHalfWay) {
    // A read of its own memory succeeds for one page and fails after it.
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    void* const two =
        ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(two, MAP_FAILED);
    std::memset(two, '\n', page);
    ASSERT_EQ(::munmap(static_cast<std::byte*>(two) + page, page), 0);
    const UniqueFd memory(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
    ASSERT_GE(::lseek(memory.get(), reinterpret_cast<off_t>(two), SEEK_SET), 0);
    const auto content = read_whole_file(memory.get(), 1U << 20);
    ASSERT_FALSE(content);
    EXPECT_EQ(content.error().code, EIO);
    ::munmap(two, page);
}

TEST(Config, ANulByteIsNoPartOfALine) {
    using namespace std::string_literals;
    expect_refused("[device vd0]\nque\0ues=2\n"s, {"line 2 has a NUL byte"});
    expect_refused("[device vd0]\n\0\n"s, {"line 2 has a NUL byte"});
    expect_refused("[device vd0] ; \0"s, {"line 1 has a NUL byte"});
}

TEST(Config, APipeIsReadOnce) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const UniqueFd from(ends[0]);
    {
        const UniqueFd to(ends[1]);
        const std::string content = "[device vd0]\nmtu=9000\n";
        ASSERT_EQ(::write(to.get(), content.data(), content.size()), ssize_t{22});
    }
    const auto options = parse({"--config", "/dev/fd/" + std::to_string(from.get())});
    ASSERT_TRUE(options) << options.error().what;
    ASSERT_EQ(options->devices.size(), 1U);
    EXPECT_EQ(options->devices[0].config.mtu, 9000);
}

TEST(Config, SizesAtTheirLimits) {
    const std::string device = "[device vd0]\n";
    const std::string blank(100, ' ');
    std::string content = device;
    while (content.size() + blank.size() < 1048576)
        content += blank + "\n";
    content.resize(1048576, '\n');
    EXPECT_TRUE(parse_file(content));
    expect_refused(content + "\n", {"more than 1048576 bytes"});
    const auto comment = [&](size_t length) { return device + ";" + std::string(length - 1, 'x'); };
    EXPECT_TRUE(parse_file(comment(322) + "\n"));
    expect_refused(comment(323) + "\n", {"line 2 is too long: at most 322 characters"});
}

TEST(Config, AKeyWithoutAName) {
    const std::string known = kDevices;
    expect_refused(known + "[patch]\na=vd0\nb=vd1\n=5\n", {"[patch]: unknown key ''", "a, b"});
    expect_refused(known + "[reflect]\nendpoint=vd0\n =5\n", {"[reflect]: unknown key ''"});
    expect_refused(known + "[bridge]\nmembers=vd0,vd1\n=5\n", {"[bridge]: unknown key ''"});
    expect_refused(known + "[vduse-dp]\n=5\n", {"[vduse-dp]: unknown key ''"});
    expect_refused(known + "[port p1]\n=\n", {"--port p1: unknown key ''"});
    expect_refused("[device vd0]\n=5\n", {"--device vd0: unknown key ''"});
    expect_refused(known + "[group-lcore]\ndevice=vd0\ngroup=0\nlcore=1\n=5\n", {"unknown key ''"});
}

}  // namespace
}  // namespace vduse::app
