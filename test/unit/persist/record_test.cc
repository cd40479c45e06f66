// SPDX-License-Identifier: BSD-3-Clause

// A device's record as bytes: what was written can be read, also by an older or a newer program.
// Anything else is refused.
#include "persist/record.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>

#include "support/golden.h"
#include "vduse/limits.h"

namespace vduse::test {
namespace {

using persist::from_bytes;
using persist::Record;
using persist::to_bytes;
using Bytes = std::vector<uint8_t>;

constexpr size_t kHead = 8;

/// The offset of each section's head, by section id.
std::map<uint16_t, size_t> sections_of(const Bytes& bytes) {
    std::map<uint16_t, size_t> sections;
    for (size_t at = 0; at < bytes.size();) {
        uint16_t id = 0;
        uint32_t length = 0;
        std::memcpy(&id, &bytes[at], sizeof id);
        std::memcpy(&length, &bytes[at + 4], sizeof length);
        sections[id] = at;
        at += kHead + length;
    }
    return sections;
}

template <class T>
void put(Bytes& bytes, size_t at, T value) {
    std::memcpy(&bytes.at(at), &value, sizeof value);
}

uint32_t length_at(const Bytes& bytes, size_t head) {
    uint32_t length = 0;
    std::memcpy(&length, &bytes[head + 4], sizeof length);
    return length;
}

Bytes section(uint16_t id, uint16_t flags, const Bytes& content) {
    Bytes bytes(kHead);
    put(bytes, 0, id);
    put(bytes, 2, flags);
    put(bytes, 4, static_cast<uint32_t>(content.size()));
    bytes.insert(bytes.end(), content.begin(), content.end());
    return bytes;
}

/// The error code with which `bytes` are refused, or 0.
int refusal(const Bytes& bytes) {
    // The copy ends where the bytes end, for AddressSanitizer.
    const auto record = from_bytes(Bytes(bytes));
    return record ? 0 : record.error().code;
}

void expect_possible(const Record& record) {
    EXPECT_TRUE(record.shape.pairs >= 1 && record.shape.pairs <= kMaxPairs);
    EXPECT_TRUE(record.shape.spaces >= 1 && record.shape.spaces <= kMaxSpaces);
    EXPECT_EQ(record.state.features & ~record.shape.offered, 0U);
    for (size_t i = 0; i < device::kMaxGroups; ++i)
        EXPECT_TRUE(
            record.state.asid[i] < record.shape.spaces &&
            record.state.sticky_asid[i] < record.shape.spaces
        );
    for (const auto* table : {&record.control.filter.unicast, &record.control.filter.multicast})
        EXPECT_TRUE(
            table->addresses.size() <= net::kMaxMacs && std::ranges::is_sorted(table->addresses)
        );
    EXPECT_TRUE(
        record.control.active_pairs >= 1 && record.control.active_pairs <= record.shape.pairs
    );
    const Bytes again = to_bytes(record);
    EXPECT_LE(again.size(), persist::kMaxRecordBytes);
    EXPECT_EQ(refusal(again), 0);
}

TEST(Record, WhatIsWrittenIsRead) {
    for (const Record& record : {golden_record(), golden_fresh_record(), Record()}) {
        const auto read = from_bytes(to_bytes(record));
        ASSERT_TRUE(read);
        expect_same(*read, record);
    }
}

TEST(Record, OfTheLargestDevice) {
    Record record;
    record.shape = {kMaxPairs, ~uint64_t{0}, true, kMaxSpaces, true};
    record.state.features = ~uint64_t{0};
    record.state.asid.fill(kMaxSpaces - 1);
    record.state.sticky_asid.fill(kMaxSpaces - 1);
    for (uint32_t i = 0; i < device::kMaxQueues; ++i)
        record.state.ready_bits[i / 64] |= uint64_t{1} << i % 64;
    record.positions.fill({.avail = 0xffff});
    record.control.active_pairs = kMaxPairs;
    for (size_t i = 0; i < net::kMaxMacs; ++i)
        record.control.filter.unicast.addresses.push_back(
            {2, 0, 0, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)}
        );
    record.control.filter.multicast = record.control.filter.unicast;
    record.control.filter.vlans.set();
    const Bytes bytes = to_bytes(record);
    EXPECT_LE(bytes.size(), persist::kMaxRecordBytes);
    const auto read = from_bytes(bytes);
    ASSERT_TRUE(read);
    expect_same(*read, record);
}

// A record is written for each message of the kernel, so it must be small.
TEST(Record, LittleIsWritten) {
    EXPECT_LE(to_bytes(golden_fresh_record()).size(), 100U);
    Record usual = golden_record();
    usual.control.filter = net::Filter();
    usual.positions.fill({});
    EXPECT_LE(to_bytes(usual).size(), 150U);
}

TEST(Record, EachByteChanged) {
    const Bytes whole = to_bytes(golden_record());
    unsigned read = 0;
    for (size_t at = 0; at < whole.size(); ++at) {
        for (const unsigned change : {1U, 2U, 4U, 8U, 16U, 32U, 64U, 128U, 255U}) {
            Bytes bytes = whole;
            bytes[at] = static_cast<uint8_t>(bytes[at] ^ change);
            if (const auto record = from_bytes(bytes)) {
                ++read;
                expect_possible(*record);
            }
        }
        ASSERT_FALSE(HasFailure()) << at;
    }
    EXPECT_GT(read, whole.size()) << "a MAC address may be any";
}

TEST(Record, CutOffAnywhere) {
    const Bytes whole = to_bytes(golden_record());
    const auto sections = sections_of(whole);
    for (size_t length = 0; length < whole.size(); ++length) {
        const auto at_end = [&](const auto& entry) { return entry.second == length; };
        const bool complete = length > sections.at(7) && std::ranges::any_of(sections, at_end);
        EXPECT_EQ(
            refusal(Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length))),
            complete ? 0 : EBADMSG
        ) << length;
    }
}

TEST(Record, LengthsThatLie) {
    const Bytes whole = to_bytes(golden_record());
    for (const auto& [id, head] : sections_of(whole)) {
        const uint32_t length = length_at(whole, head);
        for (const uint32_t lie : {0U, 1U, length - 1, length + 1, 0x7fffffffU, 0xffffffffU}) {
            Bytes bytes = whole;
            put(bytes, head + 4, lie);
            EXPECT_EQ(refusal(bytes), EBADMSG) << "section " << id << ", length " << lie;
        }
    }
}

TEST(Record, CountsThatLie) {
    const Bytes whole = to_bytes(golden_record());
    const auto sections = sections_of(whole);
    const std::map<uint16_t, size_t> counts = {{4, 0}, {5, 0}, {6, 0}, {8, 4}, {9, 4}, {10, 0}};
    for (const auto& [id, at] : counts) {
        const size_t count = sections.at(id) + kHead + at;
        for (const uint32_t lie : {whole[count] + 1U, 0x10000U, 0xffffffffU}) {
            Bytes bytes = whole;
            put(bytes, count, lie);
            EXPECT_EQ(refusal(bytes), EBADMSG) << "section " << id << ", count " << lie;
        }
    }
    // Counts that match the data, but exceed the limits.
    const std::map<uint16_t, std::pair<uint32_t, size_t>> most = {
        {4, {130, 2}}, {5, {6, 8}}, {6, {258, 2}}, {8, {1025, 6}}, {9, {1025, 6}}, {10, {65, 8}}};
    for (const auto& [id, what] : most) {
        const auto& [count, size] = what;
        const size_t at = counts.at(id);
        Bytes content(at + 4 + count * size);
        put(content, at, count);
        Bytes bytes = to_bytes(golden_fresh_record());
        const Bytes more = section(id, 0, content);
        bytes.insert(bytes.end(), more.begin(), more.end());
        EXPECT_EQ(refusal(bytes), EBADMSG) << "section " << id;
    }
}

TEST(Record, ValuesThatCannotBe) {
    const Bytes whole = to_bytes(golden_record());
    const auto sections = sections_of(whole);
    const auto content = [&](uint16_t id) { return sections.at(id) + kHead; };
    const std::map<std::string, std::function<void(Bytes&)>> all = {
        {"no pairs", [&](Bytes& b) { put<uint16_t>(b, content(1) + 12, 0); }},
        {"too many pairs", [&](Bytes& b) { put<uint16_t>(b, content(1) + 12, 129); }},
        {"no spaces", [&](Bytes& b) { put<uint32_t>(b, content(1) + 8, 0); }},
        {"too many spaces", [&](Bytes& b) { put<uint32_t>(b, content(1) + 8, 130); }},
        {"neither true nor false", [&](Bytes& b) { put<uint8_t>(b, content(1) + 14, 2); }},
        {"ungrouped by half", [&](Bytes& b) { put<uint8_t>(b, content(1) + 15, 0x80); }},
        {"what was not offered", [&](Bytes& b) { put<uint8_t>(b, content(3), 1); }},
        {"half suspended", [&](Bytes& b) { put<uint16_t>(b, content(3) + 12, 2); }},
        {"a status of two bytes", [&](Bytes& b) { put<uint16_t>(b, content(3) + 14, 0x10f); }},
        {"no such space", [&](Bytes& b) { put<uint8_t>(b, content(4) + 4, 4); }},
        {"no such sticky space", [&](Bytes& b) { put<uint8_t>(b, content(4) + 5, 4); }},
        {"no such queue", [&](Bytes& b) { put<uint8_t>(b, content(5) + 4, 0xdb); }},
        {"no such mode", [&](Bytes& b) { put<uint8_t>(b, content(7), 0xd2); }},
        {"no pair active", [&](Bytes& b) { put<uint16_t>(b, content(7) + 4, 0); }},
        {"more active than there are", [&](Bytes& b) { put<uint16_t>(b, content(7) + 4, 4); }},
        {"half of everything", [&](Bytes& b) { put<uint32_t>(b, content(8), 2); }},
        {"not sorted", [&](Bytes& b) { put<uint8_t>(b, content(8) + 8, 4); }},
    };
    for (const auto& [name, spoil] : all) {
        Bytes bytes = whole;
        spoil(bytes);
        EXPECT_EQ(refusal(bytes), EBADMSG) << name;
    }
}

/// The record of a device whose driver has switched some offloads off.
Record record_with_offloads_off() {
    Record record = golden_record();
    record.shape.offered |= 0x3b87;
    record.state.features |= 0x3b87;
    record.control.offloads_off = 0x280;
    return record;
}

TEST(Record, OffloadsThatWereSwitchedOff) {
    for (const uint64_t off : {0x0U, 0x2U, 0x80U, 0x100U, 0x200U, 0x382U}) {
        Record record = record_with_offloads_off();
        record.control.offloads_off = off;
        const auto read = from_bytes(to_bytes(record));
        ASSERT_TRUE(read);
        expect_same(*read, record);
        EXPECT_EQ(read->control.offloads_off, off);
    }
    // Not negotiated, of the other direction, or not an offload.
    for (const uint64_t off : {0x1U, 0x4U, 0x400U, 0x800U, 0x8000U, 0x80000000U}) {
        Record record = record_with_offloads_off();
        record.control.offloads_off = off;
        EXPECT_EQ(refusal(to_bytes(record)), EBADMSG) << off;
    }
    Record record = record_with_offloads_off();
    record.state.features &= ~uint64_t{0x80};
    EXPECT_EQ(refusal(to_bytes(record)), EBADMSG);
    record = record_with_offloads_off();
    record.state.features = 0;
    EXPECT_EQ(refusal(to_bytes(record)), EBADMSG) << "no driver, and something switched off";
}

// The section of an older program, without offloads, has 12 bytes. A section that ends inside a
// field is refused.
TEST(Record, BeforeThereWereOffloads) {
    const Bytes whole = to_bytes(record_with_offloads_off());
    const size_t head = sections_of(whole).at(7);
    ASSERT_EQ(length_at(whole, head), 16U);
    for (const uint32_t length : {11U, 12U}) {
        Bytes older = whole;
        older.erase(
            older.begin() + static_cast<ptrdiff_t>(head + kHead + length),
            older.begin() + static_cast<ptrdiff_t>(head + kHead + 16)
        );
        put(older, head + 4, length);
        if (length < 12) {
            EXPECT_EQ(refusal(older), EBADMSG);
            continue;
        }
        const auto read = from_bytes(older);
        ASSERT_TRUE(read);
        Record should = record_with_offloads_off();
        should.control.offloads_off = 0;
        expect_same(*read, should);
    }
}

// Sections of a newer program may be longer.
TEST(Record, SectionsGrowAtTheirEnds) {
    const Bytes whole = to_bytes(golden_record());
    Bytes grown;
    for (const auto& [id, head] : sections_of(whole)) {
        const auto begin = whole.begin() + static_cast<ptrdiff_t>(head + kHead);
        Bytes content(begin, begin + length_at(whole, head));
        content.insert(content.end(), {9, 9, 9, 9, 9, 9, 9, 9});
        const Bytes more = section(id, 0x8000, content);
        grown.insert(grown.end(), more.begin(), more.end());
    }
    const auto read = from_bytes(grown);
    ASSERT_TRUE(read);
    expect_same(*read, golden_record());
}

TEST(Record, UnknownSections) {
    const Bytes whole = to_bytes(golden_record());
    for (const auto& [id, head] : sections_of(whole)) {
        Bytes bytes = whole;
        const Bytes unknown = section(300, 0xfffe, {1, 2, 3});
        bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(head), unknown.begin(), unknown.end());
        const auto read = from_bytes(bytes);
        ASSERT_TRUE(read) << "before " << id;
        expect_same(*read, golden_record());
        put<uint16_t>(bytes, head + 2, 1);
        const auto refused = from_bytes(bytes);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, EPROTONOSUPPORT);
        EXPECT_EQ(refused.error().what, "section 300");
    }
}

TEST(Record, MissingSections) {
    const Bytes whole = to_bytes(golden_record());
    for (const auto& [id, head] : sections_of(whole)) {
        Bytes bytes = whole;
        const auto begin = bytes.begin() + static_cast<ptrdiff_t>(head);
        const ptrdiff_t length = ptrdiff_t{kHead} + length_at(whole, head);
        const Bytes same(begin, begin + length);
        bytes.erase(begin, begin + length);
        const bool needed = id <= 3 || id == 7;
        EXPECT_EQ(refusal(bytes), needed ? EBADMSG : 0) << id;
        bytes.insert(bytes.end(), same.begin(), same.end());
        EXPECT_EQ(refusal(bytes), 0) << "their order means nothing: " << id;
        bytes.insert(bytes.end(), same.begin(), same.end());
        EXPECT_EQ(refusal(bytes), EBADMSG) << "twice: " << id;
    }
}

}  // namespace
}  // namespace vduse::test
