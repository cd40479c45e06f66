// SPDX-License-Identifier: BSD-3-Clause

// What only the driver has told us about a device, and the bytes that a journal keeps of it.
//
// The bytes are sections, {id, flags, length, bytes} each, so that programs of different age read
// each other's journals (--take-over, and a crash before an update or a downgrade):
//
//   - A section whose id the reader does not know is passed over, unless its flags say that only
//     who understands it may go on with the device. It is not written again: nobody would keep it
//     right.
//   - A section that is missing leaves its default, but for the few that every record has.
//   - A section may grow at its end. Of a longer one the known part is read; one that is as long as
//     it once was leaves defaults for the rest.
//   - So no field ever moves or changes its meaning: what replaces it gets another id.
//
// Integers are in this host's byte order, for a journal never leaves it. Little is written: tables
// by their counts, and what has its default not at all.
//
// Bytes come from a file, so nothing in them is believed: every length, count and value is checked,
// and test/unit/persist/record_test.cc changes each byte. Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "device/state.h"
#include "net/control_queue.h"
#include "ring/position.h"
#include "vduse/result.h"

namespace vduse::persist {

using device::kMaxGroups;
using device::kMaxQueues;
using device::Shape;
using device::State;

struct Record {
    Shape shape;
    uint16_t queue_size = 0;
    uint16_t mtu = 0;
    uint32_t speed = 0;
    State state;
    uint16_t config_status = 0;  ///< as the driver reads it in the configuration space
    net::ControlState control;
    /// Where each ring was when it started. Of a split one, the bytes keep how much it had
    /// inherited in flight: the rest is in the ring.
    std::array<ring::Position, kMaxQueues> positions{};
};

/// A device with all queues, groups, addresses and VLANs.
inline constexpr size_t kMaxRecordBytes = 0x3c00;

std::vector<uint8_t> to_bytes(const Record& record);

/// Code EBADMSG: this is no record. Code EPROTONOSUPPORT: it has a section that we neither know nor
/// may pass over, and the text names it.
Result<Record> from_bytes(std::span<const uint8_t> bytes);

}  // namespace vduse::persist
