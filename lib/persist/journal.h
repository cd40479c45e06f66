// SPDX-License-Identifier: BSD-3-Clause

// What only the driver has told us about a device (record.h), in a file, so that the next process
// can go on where this one ended (persist=1). Ring positions are not in it: they are in the rings.
//
// The file has two slots, written in turn, each with a sequence number and a checksum: whenever a
// process ends, one of them is whole. It is meant for a tmpfs (/run), which is gone after a reboot
// as the devices are. Written with pwrite, never mapped: a file cut short is a short read.
//
// Where the slots are and how each begins is the same in all versions from 3 on, so that a program
// knows the journal of a newer one when it sees it; what is in them may differ by more than
// record.h can bridge, and then the version does. Version 2 had its slots below ours, where nothing
// of ours is: whichever program came later, its journal is known.
//
// A journal has one process at a time, by flock(2). fcntl(2) locks beside that serve for the
// question who that is, which the kernel answers and no file can lie about: byte 0 is locked by
// every owner, byte 1 by those that hand over.
//
// What comes out of the file is checked like any other input: a slot that is not one of ours, or
// damaged, counts as absent. One of another version does not: somebody's device is in it.
//
// Threads: control.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "persist/record.h"
#include "vduse/config.h"
#include "vduse/info.h"
#include "vduse/result.h"

namespace vduse::persist {

class Journal {
  public:
    /// Nothing: there is none that is whole. Code EPROTONOSUPPORT: it is not for this program, and
    /// the text has the version of both, or what is in it that we do not know.
    using Reading = Result<std::optional<Record>>;

    /// Opens or makes `folder`/`name`.journal, with room for all that will be saved. Code EBUSY:
    /// another process has it, and the text says which. `supports_handover`: see `owner`.
    static Result<Journal> open(
        const std::string& folder, const std::string& name, bool supports_handover = false
    );
    /// What was saved last, whoever has it open.
    static Reading read(const std::string& folder, const std::string& name);
    /// The process that has it open, if another one has.
    static std::optional<DeviceOwner> owner(const std::string& folder, const std::string& name);
    /// Removes it, if it is there.
    static void forget(const std::string& folder, const std::string& name);

    /// What was saved last.
    [[nodiscard]] Reading load();
    /// Writes nothing if nothing changed. What is not for this program goes. false: errno says why,
    /// and nothing is saved any more, for an old record is worse than none.
    bool save(const Record& record);

  private:
    Journal(UniqueFd file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
    bool write(const std::vector<uint8_t>& sections);

    UniqueFd file_;
    std::string path_;
    uint64_t sequence_ = 0;       ///< of the newest slot
    bool foreign_ = false;        ///< what is in the file is not for this program
    std::vector<uint8_t> saved_;  ///< what this process saved last
};

}  // namespace vduse::persist
