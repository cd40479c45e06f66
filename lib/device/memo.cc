// SPDX-License-Identifier: BSD-3-Clause

#include "device/memo.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace vduse::device {

void Memo::save(const net::ControlState& control) {
    if (!journal_)
        return;
    Record record{
        parts_.shape,
        parts_.config.queue_size,
        parts_.config.mtu,
        parts_.config.speed,
        state_,
        config_space_.status(),
        control,
        {}};
    for (const Queue& queue : parts_.all_queues())
        record.positions[queue.index] = queue.started_at;
    const bool saved = journal_->save(record);
    if (std::exchange(good_, saved) && !saved)
        log(Severity::warning,
            "%s: the journal cannot be written, the next process cannot adopt the device: %s",
            parts_.name(),
            std::strerror(errno));
}

}  // namespace vduse::device
