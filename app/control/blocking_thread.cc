// SPDX-License-Identifier: BSD-3-Clause

// How it works: see blocking_thread.h. `busy_` is cleared after the last result was added. A caller
// that sees it cleared and then takes the results has all of them.
#include "app/control/blocking_thread.h"

#include <cerrno>
#include <utility>

#include "app/control/signals.h"
#include "vduse/bus.h"

namespace vduse::app {

TaskResult attach(const std::string& name, const std::string& driver) {
    if (const auto done = bus::vdpa_attach(name, driver); !done)
        return {name, name + ": not attached: " + done.error().text(), true};
    const std::string node = bus::vdpa_node(name);
    return {name, name + ": attached, driver " + driver + (node.empty() ? "" : ", " + node)};
}

TaskResult detach(const std::string& name) {
    const auto done = bus::vdpa_detach(name);
    if (done)
        return {name, {}};
    // It is not an error if somebody has the device open.
    if (done.error().code == EBUSY)
        return {name, name + ": " + done.error().what, false, true};
    return {name, name + ": " + done.error().text(), true, true};
}

BlockingThread::~BlockingThread() {
    cancel();
    if (thread_.joinable())
        thread_.join();
}

void BlockingThread::start(std::vector<Task> tasks) {
    if (thread_.joinable())
        thread_.join();
    cancelled_.store(false);
    busy_.store(true);
    thread_ = std::thread([this, tasks = std::move(tasks)] { work(tasks); });
}

void BlockingThread::work(const std::vector<Task>& tasks) {
    block_signals();
    for (const Task& task : tasks) {
        if (cancelled_.load())
            break;
        TaskResult result = task();
        const std::lock_guard lock(mutex_);
        results_.push_back(std::move(result));
        control_.wake();
    }
    busy_.store(false);
    control_.wake();
}

std::vector<TaskResult> BlockingThread::take_results() {
    const std::lock_guard lock(mutex_);
    return std::exchange(results_, {});
}

}  // namespace vduse::app
