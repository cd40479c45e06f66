// SPDX-License-Identifier: BSD-3-Clause

#include "control_thread.h"

#include <cassert>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/lines.h"
#include "compat.h"

namespace vduse::pmd {
namespace {

/// The period that the library requires if the kernel does not report late queues.
constexpr int kTurnMs = 100;

struct Task {
    const std::function<void(Control&)>& work;
    bool done = false;
};

struct Loop {
    std::unique_ptr<Control> control;
    Thread thread{};
    std::vector<PeriodicTask*> periodic;
    std::mutex mutex;
    std::condition_variable finished;
    std::deque<Task*> tasks;
    bool stop = false;

    void work();
    void run(const std::function<void(Control&)>& what);
};

std::mutex life;
int users = 0;
/// If a program exits without closing its ports, the thread is still running.
Loop* loop = nullptr;

void Loop::work() {
    // Signals are for the application's threads, except for faults of this thread.
    sigset_t others;
    sigfillset(&others);
    for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL})
        sigdelset(&others, own);
    pthread_sigmask(SIG_SETMASK, &others, nullptr);
    for (;;) {
        std::deque<Task*> now;
        {
            const std::lock_guard lock(mutex);
            if (stop)
                return;
            now.swap(tasks);
        }
        for (Task* task : now) {
            task->work(*control);
            const std::lock_guard lock(mutex);
            task->done = true;
            finished.notify_all();
        }
        control->run_once(kTurnMs);
        for (PeriodicTask* task : periodic)
            task->run();
    }
}

void Loop::run(const std::function<void(Control&)>& what) {
    Task task{what};
    std::unique_lock lock(mutex);
    tasks.push_back(&task);
    control->wake();
    finished.wait(lock, [&] { return task.done; });
}

}  // namespace

Result<ControlThread> ControlThread::share(uapi::Kernel* kernel) {
    const std::lock_guard lock(life);
    lines::start();
    if (!loop) {
        auto fresh = std::make_unique<Loop>();
        auto control = Control::create(kernel);
        if (!control)
            return control.error();
        fresh->control = std::move(*control);
        const auto body = [](void* mine) -> ThreadResult {
            static_cast<Loop*>(mine)->work();
            return {};
        };
        if (const int error = create_thread(&fresh->thread, "vduse-control", body, fresh.get());
            error != 0)
            return Error{error < 0 ? -error : error, "the control thread"};
        loop = fresh.release();
    }
    ++users;
    ControlThread result;
    result.held_ = true;
    return result;
}

ControlThread::~ControlThread() {
    if (!held_)
        return;
    const std::lock_guard lock(life);
    if (--users != 0)
        return;
    {
        const std::lock_guard tasks(loop->mutex);
        loop->stop = true;
    }
    loop->control->wake();
    join_thread(loop->thread);
    const std::unique_ptr<Loop> gone(std::exchange(loop, nullptr));
}

void ControlThread::run(const std::function<void(Control&)>& work) const {
    assert(held_);
    loop->run(work);
}

void ControlThread::add(PeriodicTask& task) {
    loop->periodic.push_back(&task);
}

void ControlThread::remove(PeriodicTask& task) {
    std::erase(loop->periodic, &task);
}

}  // namespace vduse::pmd
