// SPDX-License-Identifier: BSD-3-Clause

// The journal: a file with everything about a device that only its driver has set (record.h), so
// that the next process can adopt the device (persist=1). Ring positions are not in it: they are in
// the rings.
//
// The file has two slots, written in turn, each with a sequence number and a checksum. So one of
// them is whole at any time that a process may end. The file should be on a tmpfs (/run), which is
// gone after a reboot, as the devices are. It is written with pwrite and never mapped: a truncated
// file is a short read.
//
// The places of the slots and their heads are the same in all versions from 3 on, so that a program
// recognises the journal of a newer one. If the content changes by more than record.h can handle,
// the version changes, too. The slots of version 2 are at lower offsets, which later versions do
// not use. So each version recognises the journals of the others.
//
// A journal belongs to one process at a time, by flock(2). Additional fcntl(2) locks show which
// process that is: the kernel answers that, and no file can forge it. Byte 0 is locked by every
// owner, byte 1 by owners that support handover.
//
// The content of the file is checked like any other input. A slot that is damaged or has another
// format counts as absent. A slot of another version does not, because it describes a device.
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
    /// Nothing: no slot is whole. Code EPROTONOSUPPORT: this program cannot use it, and the text
    /// has the versions of both, or the section that is unknown.
    using Reading = Result<std::optional<Record>>;

    /// Opens or creates `folder`/`name`.journal, with room for everything that will be saved. Code
    /// EBUSY: another process has it open, and the text says which. `supports_handover`: see
    /// `owner`.
    static Result<Journal> open(
        const std::string& folder, const std::string& name, bool supports_handover = false
    );
    /// The record that was saved last. It does not matter which process has the journal open.
    static Reading read(const std::string& folder, const std::string& name);
    /// The other process that has it open, if there is one.
    static std::optional<DeviceOwner> owner(const std::string& folder, const std::string& name);
    /// Removes the file, if it exists.
    static void forget(const std::string& folder, const std::string& name);

    /// The record that was saved last.
    [[nodiscard]] Reading load();
    /// Writes the record, unless it is unchanged. A journal that this program cannot use is
    /// discarded first. false: it failed, with the reason in errno. The journal is empty then,
    /// because an old record is worse than none.
    bool save(const Record& record);

  private:
    Journal(UniqueFd file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
    bool write(const std::vector<uint8_t>& sections);

    UniqueFd file_;
    std::string path_;
    uint64_t sequence_ = 0;       ///< of the newest slot
    bool foreign_ = false;        ///< this program cannot use the file's content
    std::vector<uint8_t> saved_;  ///< the sections that this process saved last
};

}  // namespace vduse::persist
