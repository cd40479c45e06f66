// SPDX-License-Identifier: BSD-3-Clause

// Reads the files of test/unit/persist/golden: the bytes of a format, which must never change, as
// text.
//
// A file has pairs of hex digits. `@10000` pads with zeros up to that offset. `#` starts a comment.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "persist/record.h"

namespace vduse::test {

/// The bytes of the file `name`. Empty if it cannot be read.
std::vector<uint8_t> golden(const std::string& name);

/// The record in the newest slot of `journal-3.hex`. No field has its default value.
inline persist::Record golden_record() {
    persist::Record record;
    record.shape = {3, 0x3'30ff'8028, true, 4, true};
    record.queue_size = 256;
    record.mtu = 9000;
    record.speed = 25000;
    record.state.status = 0x0f;
    record.state.suspended = true;
    record.state.features = 0x3'007e'0000;
    record.state.asid[0] = 1;
    record.state.asid[3] = 3;
    record.state.sticky_asid[1] = 2;
    record.state.sticky_asid[3] = 1;
    record.state.ready_bits[0] = 0b101'1011;
    record.config_status = 1;
    net::Filter& filter = record.control.filter;
    filter.mac = {2, 0, 0, 0, 0, 9};
    filter.promiscuous = false;
    filter.all_multicast = true;
    filter.no_unicast = true;
    filter.vlan_filtering = true;
    filter.unicast.addresses = {{2, 0, 0, 0, 1, 1}, {2, 0, 0, 0, 1, 2}};
    filter.multicast.addresses = {{1, 0, 0x5e, 0, 0, 1}};
    filter.multicast.everything = true;
    filter.vlans.set(7);
    filter.vlans.set(100);
    record.control.active_pairs = 2;
    record.positions[1] = {.avail = 3};
    record.positions[6] = {.avail = 0xfffe};
    return record;
}

/// The record in the other slot: a device that no driver has used yet.
inline persist::Record golden_fresh_record() {
    persist::Record record;
    record.shape = {1, 0x3'2001'0028, false, 1, false};
    record.queue_size = 1024;
    record.mtu = 1500;
    record.speed = 10000;
    record.control.filter.mac = {2, 0, 0, 0, 0, 7};
    return record;
}

/// Compares two records field by field.
inline void expect_same(const persist::Record& is, const persist::Record& should) {
    EXPECT_EQ(is.shape, should.shape);
    EXPECT_EQ(is.queue_size, should.queue_size);
    EXPECT_EQ(is.mtu, should.mtu);
    EXPECT_EQ(is.speed, should.speed);
    EXPECT_EQ(is.state, should.state);
    EXPECT_EQ(is.config_status, should.config_status);
    EXPECT_EQ(is.positions, should.positions);
    EXPECT_EQ(is.control.active_pairs, should.control.active_pairs);
    EXPECT_EQ(is.control.offloads_off, should.control.offloads_off);
    const net::Filter& a = is.control.filter;
    const net::Filter& b = should.control.filter;
    EXPECT_EQ(a.mac, b.mac);
    for (const auto mode :
         {&net::Filter::promiscuous,
          &net::Filter::all_multicast,
          &net::Filter::all_unicast,
          &net::Filter::no_multicast,
          &net::Filter::no_unicast,
          &net::Filter::no_broadcast,
          &net::Filter::vlan_filtering})
        EXPECT_EQ(a.*mode, b.*mode);
    for (const auto table : {&net::Filter::unicast, &net::Filter::multicast}) {
        EXPECT_EQ((a.*table).addresses, (b.*table).addresses);
        EXPECT_EQ((a.*table).everything, (b.*table).everything);
    }
    EXPECT_EQ(a.vlans, b.vlans);
}

}  // namespace vduse::test
