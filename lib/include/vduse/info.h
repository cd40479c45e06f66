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

/// The process that serves a device with `persist` or `survive_crash`.
struct DeviceOwner {
    int pid = 0;
    bool supports_handover = false;  ///< see DeviceConfig
};

/// Frames and bytes that a queue has passed.
struct Traffic {
    uint64_t frames = 0;
    uint64_t bytes = 0;  ///< without virtio-net headers
};

/// Statistics of one direction of a queue pair. Counters never go back, not even at a reset of the
/// device.
struct QueueStats {
    uint64_t frames = 0;                         ///< passed
    uint64_t bytes = 0;                          ///< of these, without virtio-net headers
    uint64_t dropped = 0;                        ///< the sum of `drops`
    std::array<uint64_t, kDropReasons> drops{};  ///< by Drop; names: kDropNames
    uint64_t no_mbuf = 0;     ///< from_guest: bursts cut short by an empty mempool; nothing is lost
    uint64_t no_buffer = 0;   ///< to_guest: bursts cut short because the driver's buffers ran out
    uint64_t interrupts = 0;  ///< sent to the driver
    uint64_t misses = 0;      ///< chains that waited until control looked for their memory
    uint64_t csum = 0;        ///< frames passed on with an unfinished checksum (vduse/offload.h)
    uint64_t large = 0;       ///< of these, large TCP frames
    uint64_t csum_done = 0;   ///< frames whose checksum was computed here
    uint64_t cut = 0;         ///< to_guest: large frames that were cut into segments here
};

/// All numbers of QueueStats except those in `drops`.
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
    bool control = false;  ///< the group of the control queue
    uint32_t asid = 0;
    uint32_t first_queue = 0;
    uint32_t last_queue = 0;  ///< inclusive
};

/// A region of an address space.
struct RegionInfo {
    uint64_t first = 0;  ///< the I/O virtual address of its first byte
    uint64_t last = 0;   ///< and of its last byte
    bool readable = false;
    bool writable = false;
    /// The NUMA node of its first page. -1: the page was not touched yet, the kernel does not tell,
    /// or the region is not among the first 64 of its space.
    int node = -1;
};

/// A snapshot of a device.
struct DeviceInfo {
    std::string name;
    uint64_t api_version = 0;      ///< of VDUSE, as agreed with the kernel; 0 has no groups
    uint64_t kernel_features = 0;  ///< VDUSE_F_* that the kernel has; 0 before Linux 7.3
    bool adopted = false;          ///< it existed already when this process added it
    bool broken = false;           ///< out of service; see Device::broken
    uint8_t status = 0;            ///< virtio device status (virtio 1.3, 2.1)
    uint64_t features = 0;         ///< negotiated virtio features
    bool link_up = false;
    uint16_t active_pairs = 0;  ///< that the driver uses
    uint16_t queue_pairs = 0;   ///< that the device has
    // The driver's receive filter:
    MacAddress mac{};
    bool promiscuous = true;
    bool all_multicast = false;
    size_t unicast = 0;    ///< addresses in its table
    size_t multicast = 0;  ///< addresses in its table
    size_t vlans = 0;      ///< VLANs that it passes
    // The control queue:
    uint64_t offloads_off = 0;  ///< negotiated features GUEST_* that are switched off since
    uint64_t commands = 0;      ///< executed
    uint64_t refused = 0;       ///< commands answered VIRTIO_NET_ERR
    std::vector<GroupInfo> groups;
    std::vector<std::vector<RegionInfo>> spaces;  ///< regions, by ASID
    /// Reasons why it may carry no frames though its driver is ready, one line each
    /// (device/health.h).
    std::vector<std::string> problems;
};

enum class QueueUse : uint8_t { to_guest, from_guest, control };

/// A snapshot of one virtqueue.
struct QueueInfo {
    QueueUse use = QueueUse::to_guest;
    uint16_t pair = 0;  ///< of a data queue
    uint32_t group = 0;
    uint32_t asid = 0;
    bool ready = false;        ///< the driver's side has enabled it
    bool running = false;      ///< it is being served
    bool stalled = false;      ///< it could not be started; tried again when something changes
    bool quarantined = false;  ///< not served until a reset: its ring or memory cannot be trusted
    // When it last ran; 0 if it has not run yet:
    uint32_t size = 0;    ///< entries
    uint64_t desc = 0;    ///< I/O virtual address of the descriptor table
    uint64_t driver = 0;  ///< of the avail ring
    uint64_t device = 0;  ///< of the used ring
    QueueStats stats;
};

/// A message of the kernel and how it was answered.
struct ControlEvent {
    std::chrono::system_clock::time_point time;  ///< when it was read
    std::chrono::nanoseconds took{};             ///< until the answer was written
    std::string what;                            ///< for example "SET_VQ_READY queue 1 ready 1"
    bool ok = false;                             ///< the answer: OK or FAILED
};

/// Names of the bits of `DeviceInfo::features`, `status` and `kernel_features`, lowest bit first:
/// "MTU", "DRIVER_OK", "QUEUE_READY". A bit without a known name is "bit40".
std::vector<std::string> feature_names(uint64_t features);
std::vector<std::string> status_names(uint8_t status);
std::vector<std::string> kernel_feature_names(uint64_t features);

}  // namespace vduse
