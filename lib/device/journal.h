// What only the driver has told us about a device, in a file, so that the next process can go on
// where this one ended (persist=1). Ring positions are not in it: they are in the rings.
//
// The file has two slots, written in turn, each with a sequence number and a checksum: whenever a
// process ends, one of them is whole. It is meant for a tmpfs (/run), which is gone after a reboot
// as the devices are. Written with pwrite, never mapped: a file cut short is a short read.
//
// A journal has one process at a time, by flock(2). fcntl(2) locks beside that serve for the
// question who that is, which the kernel answers and no file can lie about: byte 0 is locked by
// every holder, byte 1 by those that hand over.
//
// What comes out of the file is checked like any other input: a slot that is not one of ours, of
// another version, or damaged, counts as absent.
//
// Threads: control.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "device/state.h"
#include "net/control.h"
#include "vduse.h"

namespace vduse::device {

/// A ControlState as plain bytes.
struct ControlRecord {
    struct Table {
        std::array<net::MacAddress, net::kMaxMacs> addresses;
        uint32_t count;
        bool everything;
    };

    net::MacAddress mac;
    std::array<bool, 7> modes;  ///< of net::Filter, in its order
    Table unicast;
    Table multicast;
    std::bitset<net::kVlans> vlans;
    uint16_t active_pairs;
};

struct Record {
    Shape shape;
    uint16_t queue_size = 0;
    uint16_t mtu = 0;
    uint32_t speed = 0;
    State state;
    uint16_t config_status = 0;  ///< as the driver reads it in the configuration space
    ControlRecord control{};
    std::array<uint16_t, kMaxQueues> ahead{};  ///< of each ring: SplitRing::ahead
};

ControlRecord to_record(const net::ControlState& state);
net::ControlState from_record(const ControlRecord& record);

class Journal {
  public:
    /// Opens or makes `folder`/`name`.journal, with room for all that will be saved. Code EBUSY:
    /// another process has it, and the text says which. `hands_over`: see `holder`.
    static Result<Journal> open(
        const std::string& folder, const std::string& name, bool hands_over = false
    );
    /// What was saved last, whoever has it open.
    static std::optional<Record> read(const std::string& folder, const std::string& name);
    /// The process that has it open, if another one has.
    static std::optional<DeviceHolder> holder(const std::string& folder, const std::string& name);
    /// Removes it, if it is there.
    static void forget(const std::string& folder, const std::string& name);

    /// What was saved last.
    [[nodiscard]] std::optional<Record> load();
    /// false: errno says why, and nothing is saved any more, for an old record is worse than none.
    bool save(const Record& record);

  private:
    explicit Journal(UniqueFd file) : file_(std::move(file)) {}

    UniqueFd file_;
    uint64_t sequence_ = 0;  ///< of the newest slot
};

}  // namespace vduse::device
