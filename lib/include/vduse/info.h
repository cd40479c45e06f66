// SPDX-License-Identifier: BSD-3-Clause

// Snapshots of a device and its queues, for people, tests and telemetry.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vduse/drop.h"
#include "vduse/mac.h"

namespace vduse {

/// A process that serves a device which `persist` or `survive_crash` lets outlive it.
struct DeviceOwner {
    int pid = 0;
    bool supports_handover = false;
};

/// What went through a queue.
struct Traffic {
    uint64_t frames = 0;
    uint64_t bytes = 0;
};

/// One direction of a queue pair. Counters never go back, not even at a reset of the device.
struct QueueStats {
    uint64_t frames = 0;
    uint64_t bytes = 0;
    uint64_t dropped = 0;                        ///< the sum of `drops`
    std::array<uint64_t, kDropReasons> drops{};  ///< by Drop; names: kDropNames
    uint64_t no_mbuf = 0;
    uint64_t no_buffer = 0;  ///< to_guest: bursts of which frames were left for want of buffers
    uint64_t interrupts = 0;
    uint64_t misses = 0;
    uint64_t csum = 0;       ///< frames whose checksum was left to whom they are for
    uint64_t large = 0;      ///< of these, TCP frames in place of many
    uint64_t csum_done = 0;  ///< frames whose checksum was computed here
    uint64_t cut = 0;        ///< to_guest: large frames that were cut into segments here
};

/// All numbers of QueueStats but those in `drops`.
inline constexpr std::array kQueueStats = {
    &QueueStats::frames,
    &QueueStats::bytes,
    &QueueStats::dropped,
    &QueueStats::no_mbuf,
    &QueueStats::no_buffer,
    &QueueStats::interrupts,
    &QueueStats::misses,
    &QueueStats::csum,
    &QueueStats::large,
    &QueueStats::csum_done,
    &QueueStats::cut};

/// A virtqueue group: its queues, and the address space that it is in.
struct GroupInfo {
    bool control = false;
    uint32_t asid = 0;
    uint32_t first_queue = 0;
    uint32_t last_queue = 0;
};

/// A region of an address space: the I/O virtual addresses of its first and its last byte.
struct RegionInfo {
    uint64_t first = 0;
    uint64_t last = 0;
    bool readable = false;
    bool writable = false;
    /// The NUMA node of its first page. -1: nobody has touched it yet, the kernel does not tell, or
    /// the space has more regions than are asked about (64).
    int node = -1;
};

/// A snapshot for people and tests.
struct DeviceInfo {
    std::string name;
    uint64_t api_version = 0;      ///< of VDUSE, as agreed with the kernel: 0 has no groups
    uint64_t kernel_features = 0;  ///< VDUSE_F_* that the kernel has; 0 before Linux 7.3
    bool adopted = false;          ///< it was there when this process added it
    bool broken = false;           ///< the kernel gave it up
    uint8_t status = 0;
    uint64_t features = 0;  ///< negotiated
    bool link_up = false;
    uint16_t active_pairs = 0;
    uint16_t queue_pairs = 0;
    MacAddress mac{};
    bool promiscuous = true;
    bool all_multicast = false;
    size_t unicast = 0;
    size_t multicast = 0;
    size_t vlans = 0;
    uint64_t offloads_off = 0;  ///< features GUEST_* that were negotiated and switched off since
    uint64_t commands = 0;      ///< of the control queue
    uint64_t refused = 0;
    std::vector<GroupInfo> groups;
    std::vector<std::vector<RegionInfo>> spaces;
    /// Why it may carry no frames though its driver is ready, a line each (device/health.h).
    std::vector<std::string> problems;
};

enum class QueueUse : uint8_t { to_guest, from_guest, control };

/// A snapshot of one virtqueue.
struct QueueInfo {
    QueueUse use = QueueUse::to_guest;
    uint16_t pair = 0;  ///< of a data queue
    uint32_t group = 0;
    uint32_t asid = 0;
    bool ready = false;        ///< the driver's side said so
    bool running = false;      ///< it is being served
    bool stalled = false;      ///< it could not be started, until something changes
    bool quarantined = false;  ///< its ring cannot be trusted, until a reset
    uint32_t size = 0;         ///< entries, the addresses of its parts: when it last ran
    uint64_t desc = 0;
    uint64_t driver = 0;
    uint64_t device = 0;
    QueueStats stats;
};

/// A message of the kernel and what became of it.
struct ControlEvent {
    std::chrono::system_clock::time_point time;
    std::chrono::nanoseconds took{};  ///< until the answer was written
    std::string what;                 ///< for example "SET_VQ_READY queue 1 ready 1"
    bool ok = false;                  ///< how it was answered
};

/// Names of the bits of `DeviceInfo::features`, `status` and `kernel_features`, the lowest first:
/// "MTU", "DRIVER_OK", "QUEUE_READY"; "bit40" where we know none.
std::vector<std::string> feature_names(uint64_t features);
std::vector<std::string> status_names(uint8_t status);
std::vector<std::string> kernel_feature_names(uint64_t features);

}  // namespace vduse
