// SPDX-License-Identifier: BSD-3-Clause

// The VDUSE ABI of /dev/vduse/control and /dev/vduse/NAME: API versions 0 and 1, with the features
// QUEUE_READY and SUSPEND. Source: include/uapi/linux/vduse.h of Linux 7.3.
//
// These are our own definitions, because Debian 12's header ends at version 0. Sizes and offsets
// are asserted here, and test/unit/uapi/abi_test.cc compares them with <linux/vduse.h> if the
// system's is new enough.
#pragma once

#include <linux/ioctl.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace vduse::uapi::abi {

inline constexpr uint64_t kApiVersion0 = 0;
inline constexpr uint64_t kApiVersion1 = 1;

/// Bits of GET_FEATURES / SET_FEATURES on the control node.
inline constexpr uint64_t kFeatureQueueReady = 1U << 0;
inline constexpr uint64_t kFeatureSuspend = 1U << 1;

inline constexpr size_t kNameMax = 256;

struct DevConfig {
    std::array<char, kNameMax> name;
    uint32_t vendor_id;
    uint32_t device_id;
    uint64_t features;
    uint32_t vq_num;
    uint32_t vq_align;
    uint32_t ngroups;  ///< version >= 1
    uint32_t nas;      ///< version >= 1
    std::array<uint32_t, 11> reserved;
    uint32_t config_size;  ///< The device's configuration space follows.
};
static_assert(sizeof(DevConfig) == 336 && offsetof(DevConfig, config_size) == 332);

struct IotlbEntry {
    uint64_t offset;
    uint64_t start;
    uint64_t last;
    uint8_t perm;  ///< 1 read, 2 write, from the device's side
};
static_assert(sizeof(IotlbEntry) == 32 && offsetof(IotlbEntry, perm) == 24);

struct IotlbEntryV2 {
    uint64_t offset;
    uint64_t start;
    uint64_t last;
    uint8_t perm;
    std::array<uint8_t, 7> padding;
    uint32_t asid;
    std::array<uint32_t, 11> reserved;
};
static_assert(sizeof(IotlbEntryV2) == 80 && offsetof(IotlbEntryV2, asid) == 32);

struct ConfigData {
    uint32_t offset;
    uint32_t length;  ///< The bytes follow.
};
static_assert(sizeof(ConfigData) == 8);

struct VqConfig {
    uint32_t index;
    uint16_t max_size;
    uint16_t reserved1;
    uint32_t group;
    std::array<uint16_t, 10> reserved2;
};
static_assert(sizeof(VqConfig) == 32 && offsetof(VqConfig, group) == 8);

struct VqStateSplit {
    uint16_t avail_index;
};

struct VqStatePacked {
    uint16_t last_avail_counter;
    uint16_t last_avail_idx;
    uint16_t last_used_counter;
    uint16_t last_used_idx;
};

struct VqInfo {
    uint32_t index;
    uint32_t num;
    uint64_t desc_addr;
    uint64_t driver_addr;
    uint64_t device_addr;
    union {
        VqStateSplit split;
        VqStatePacked packed;
    };
    uint8_t ready;
};
static_assert(sizeof(VqInfo) == 48 && offsetof(VqInfo, ready) == 40);

struct VqEventfd {
    uint32_t index;
    int32_t fd;  ///< -1 removes it
};
static_assert(sizeof(VqEventfd) == 8);

enum class RequestType : uint32_t {
    get_vq_state = 0,
    set_status = 1,
    update_iotlb = 2,
    set_vq_group_asid = 3,  ///< version >= 1
    set_vq_ready = 4,       ///< kFeatureQueueReady
    suspend = 5,            ///< kFeatureSuspend
};

struct VqState {
    uint32_t index;
    union {
        VqStateSplit split;
        VqStatePacked packed;
    };
};
static_assert(sizeof(VqState) == 12);

struct IovaRangeV2 {
    uint64_t start;
    uint64_t last;
    uint32_t asid;  ///< version >= 1
    uint32_t padding;
};
static_assert(sizeof(IovaRangeV2) == 24);

struct VqGroupAsid {
    uint32_t group;
    uint32_t asid;
};

struct VqReady {
    uint32_t num;
    uint32_t ready;
};

struct Request {
    uint32_t type;
    uint32_t request_id;
    std::array<uint32_t, 4> reserved;
    union {
        VqState vq_state;
        uint8_t status;
        IovaRangeV2 iova;
        VqGroupAsid vq_group_asid;
        VqReady vq_ready;
        std::array<uint32_t, 32> padding;
    };
};
static_assert(sizeof(Request) == 152 && offsetof(Request, padding) == 24);

inline constexpr uint32_t kResultOk = 0;
inline constexpr uint32_t kResultFailed = 1;

struct Response {
    uint32_t request_id;
    uint32_t result;
    std::array<uint32_t, 4> reserved;
    union {
        VqState vq_state;
        std::array<uint32_t, 32> padding;
    };
};
static_assert(sizeof(Response) == 152 && offsetof(Response, padding) == 24);

inline constexpr unsigned kBase = 0x81;
using Name = char[kNameMax];

inline constexpr unsigned long kGetApiVersion = _IOR(kBase, 0x00, uint64_t);
inline constexpr unsigned long kSetApiVersion = _IOW(kBase, 0x01, uint64_t);
inline constexpr unsigned long kCreateDev = _IOW(kBase, 0x02, DevConfig);
inline constexpr unsigned long kDestroyDev = _IOW(kBase, 0x03, Name);
inline constexpr unsigned long kGetFeatures = _IOR(kBase, 0x04, uint64_t);
inline constexpr unsigned long kSetFeatures = _IOW(kBase, 0x05, uint64_t);
inline constexpr unsigned long kIotlbGetFd = _IOWR(kBase, 0x10, IotlbEntry);
inline constexpr unsigned long kDevGetFeatures = _IOR(kBase, 0x11, uint64_t);
inline constexpr unsigned long kDevSetConfig = _IOW(kBase, 0x12, ConfigData);
inline constexpr unsigned long kDevInjectConfigIrq = _IO(kBase, 0x13);
inline constexpr unsigned long kVqSetup = _IOW(kBase, 0x14, VqConfig);
inline constexpr unsigned long kVqGetInfo = _IOWR(kBase, 0x15, VqInfo);
inline constexpr unsigned long kVqSetupKickfd = _IOW(kBase, 0x16, VqEventfd);
inline constexpr unsigned long kVqInjectIrq = _IOW(kBase, 0x17, uint32_t);
inline constexpr unsigned long kIotlbGetFd2 = _IOWR(kBase, 0x1b, IotlbEntryV2);

}  // namespace vduse::uapi::abi
