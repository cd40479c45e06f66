// SPDX-License-Identifier: BSD-3-Clause

#include "app/report/control_call.h"

#include <utility>

namespace vduse::app {

ControlCalls::ControlCalls(std::function<void()> wake, std::chrono::milliseconds limit)
    : wake_(std::move(wake)), limit_(limit) {
}

bool ControlCalls::run(const std::function<void()>& function) {
    std::unique_lock lock(mutex_);
    if (closed_)
        return false;
    Waiting self{&function};
    waiting_.push_back(&self);
    wake_();
    changed_.wait_for(lock, limit_, [&] { return self.done || closed_; });
    std::erase(waiting_, &self);
    return self.done;
}

void ControlCalls::serve() {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty())
        return;
    for (Waiting* const waiting : waiting_) {
        (*waiting->function)();
        waiting->done = true;
    }
    waiting_.clear();
    changed_.notify_all();
}

void ControlCalls::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
}

}  // namespace vduse::app
