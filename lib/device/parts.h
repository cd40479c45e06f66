// SPDX-License-Identifier: BSD-3-Clause

// The parts of a session, complete before the session is made: create.h makes them anew, adopt.h
// takes over what an earlier process left. Also the few steps that the two share.
//
// The addresses of the nodes, of the queues and of the shape stay the same for the life of a
// session, because its parts refer to them.
//
// What an earlier process left is hostile input, as the driver's is: the journal is checked when it
// is read (persist/record.h), and rings when they are loaded.
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
    int wake_fd;          ///< an eventfd that data threads write to wake control
    DeviceConfig config;  ///< with the ring size that was chosen
    Capabilities capabilities{};
    std::unique_ptr<uapi::ControlNode> control_node{};
    Shape shape{};
    std::unique_ptr<uapi::DeviceNode> node{};
    std::unique_ptr<Queue[]> queues{};
    UniqueFd kick{};  ///< of the control queue, and of queues that are not ready yet
    std::optional<Journal> journal{};
    /// The state that an earlier process left, if the device was adopted.
    std::optional<Record> inherited{};
    bool guessed = false;  ///< `inherited` is not from a journal

    [[nodiscard]] const char* name() const { return config.name.c_str(); }
    [[nodiscard]] bool outlives_us() const { return config.persist || config.survive_crash; }
    [[nodiscard]] std::span<Queue> all_queues() const { return {queues.get(), shape.queues()}; }
};

/// Opens /dev/vduse/control and queries the kernel's capabilities. Fails if `config` needs more.
Result<void> open_control(Parts& parts);

/// The shape that `config` describes, as far as the kernel supports it.
Shape wanted_shape(const Parts& parts, bool with_control);

/// Opens /dev/vduse/NAME and makes the queues of the shape.
Result<void> open_node(Parts& parts);

/// Tells the kernel the size and, with `features`, the group of a queue.
Result<void> set_up_queue(const Parts& parts, uint32_t index, uint64_t features);

/// Tells the kernel the groups after the features are negotiated. Without MQ the control queue is
/// queue 2, which then belongs to the control group; QEMU asks the kernel for that group and moves
/// it.
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
