// SPDX-License-Identifier: BSD-3-Clause

// What a session is made of, complete before there is one: create.h makes it anew, adopt.h goes on
// with what an earlier process left. And the few steps that the two share.
//
// Addresses of the nodes, the queues and the shape stay the same for the life of a session, whose
// own parts refer to them.
//
// What an earlier process left is hostile input no less than the driver's: the journal is checked
// by who reads it (persist/record.h), and rings when they are loaded.
//
// Threads: control.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "base/fd.h"
#include "device/capabilities.h"
#include "device/queue.h"
#include "device/state.h"
#include "memory/table_memory.h"
#include "persist/journal.h"
#include "uapi/kernel.h"
#include "vduse/config.h"
#include "vduse/result.h"

namespace vduse::device {

using persist::Journal;
using persist::Record;

struct Parts {
    uapi::Kernel& kernel;
    memory::TableAllocator& allocator;
    int wake_fd;          ///< an eventfd that data threads write to call control
    DeviceConfig config;  ///< with the ring size that was decided
    Capabilities capabilities{};
    std::unique_ptr<uapi::ControlNode> control_node{};
    Shape shape{};
    std::unique_ptr<uapi::DeviceNode> node{};
    std::unique_ptr<Queue[]> queues{};
    UniqueFd kick{};  ///< the control queue's, and of queues whose first kick ends a wait
    std::optional<Journal> journal{};
    /// What an earlier process knew of the device, which was there before.
    std::optional<Record> inherited{};
    bool guessed = false;  ///< it is not from a journal

    [[nodiscard]] const char* name() const { return config.name.c_str(); }
    [[nodiscard]] bool outlives_us() const { return config.persist || config.survive_crash; }
    [[nodiscard]] std::span<Queue> all_queues() const { return {queues.get(), shape.queues()}; }
};

/// /dev/vduse/control, and what this kernel can do. Fails where `config` asks for more.
Result<void> open_control(Parts& parts);

/// What the kernel lets us have of what the configuration says.
Shape wanted_shape(const Parts& parts, bool with_control);

/// /dev/vduse/NAME, and queues for the shape.
Result<void> open_node(Parts& parts);

/// Tells the kernel the size and, with `features`, the group of a queue.
Result<void> set_up_queue(const Parts& parts, uint32_t index, uint64_t features);

/// The features are negotiated: without MQ the control queue is queue 2, and belongs to the control
/// group then; QEMU asks the kernel for that group and moves it.
void regroup(const Parts& parts, uint64_t features);

/// Finds the ring of a queue through `table`.
ring::LoadError load_ring(
    const Parts& parts,
    const State& state,
    uint32_t index,
    const uapi::abi::VqInfo& info,
    const memory::Table* table,
    ring::SplitRing& ring
);

}  // namespace vduse::device
