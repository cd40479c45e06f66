// SPDX-License-Identifier: BSD-3-Clause

// Everything about a device that only its driver has set, and its encoding for a journal.
//
// The encoding is a list of sections, {id, flags, length, bytes} each, so that older and newer
// programs can read each other's journals (--take-over, and a crash before an update or a
// downgrade):
//
//   - A section with an unknown id is skipped, unless its flags say that a reader must understand
//     it to adopt the device. It is not written again, because nobody would keep it up to date.
//   - A section that is missing leaves its default, except for the few that every record has.
//   - A section may grow at its end. Of a longer section, the known part is read. A section with an
//     older, shorter length leaves defaults for the rest.
//   - So no field ever moves or changes its meaning: a replacement gets another id.
//
// Integers are in host byte order, because a journal never leaves its host. The encoding is short:
// tables have counts, and defaults are not written.
//
// The bytes come from a file, so nothing in them is trusted: every length, count and value is
// checked, and test/unit/persist/record_test.cc changes each byte. Pure functions.
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
    uint16_t config_status = 0;  ///< `status` of the configuration space
    net::ControlState control;
    /// The position of each ring when it started. Of a split ring, only the number of chains that
    /// it had inherited in flight is encoded: the rest is in the ring.
    std::array<ring::Position, kMaxQueues> positions{};
};

/// The most bytes of a record: with all queues, groups, addresses and VLANs.
inline constexpr size_t kMaxRecordBytes = 0x3c00;

std::vector<uint8_t> to_bytes(const Record& record);

/// Code EBADMSG: this is not a record. Code EPROTONOSUPPORT: it has an unknown section that must
/// not be skipped, and the text names it.
Result<Record> from_bytes(std::span<const uint8_t> bytes);

}  // namespace vduse::persist
