// SPDX-License-Identifier: BSD-3-Clause

// How it works: one queue under a mutex, which is only held while a string is moved. The thread
// takes a line, writes it without the mutex, and only then counts it as written.
#include "base/lines.h"

#include <pthread.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <utility>

namespace vduse::lines {
namespace {

struct Line {
    Write write;
    uint64_t tag;
    std::string text;
};

struct Queue {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Line> lines;
    size_t waiting = 0;  ///< bytes, including the line that is being written
    uint64_t dropped = 0;
    pid_t owner = 0;  ///< the process that has the thread
};

/// Never destroyed: the thread may be stuck in a write when the process exits.
Queue& queue() {
    static Queue& the = *new Queue;
    return the;
}

void work(Queue& q) {
    std::unique_lock lock(q.mutex);
    for (;;) {
        q.changed.wait(lock, [&] { return !q.lines.empty(); });
        Line line = std::move(q.lines.front());
        q.lines.pop_front();
        const uint64_t dropped = std::exchange(q.dropped, 0);
        lock.unlock();
        line.write(line.tag, line.text);
        if (dropped != 0)
            line.write(
                line.tag, std::to_string(dropped) + " lines were dropped because nobody read them\n"
            );
        lock.lock();
        q.waiting -= line.text.size();
        q.changed.notify_all();
    }
}

/// When the process exits, waiting lines have one second to be written.
struct AtExit {
    ~AtExit() { (void)flush(std::chrono::seconds(1)); }
};

}  // namespace

void start() {
    Queue& q = queue();
    const std::lock_guard lock(q.mutex);
    if (q.owner == ::getpid())
        return;
    // Other threads handle signals.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread{};
    const auto body = [](void* its) -> void* {
        work(*static_cast<Queue*>(its));
        return nullptr;
    };
    if (pthread_create(&thread, nullptr, body, &q) == 0) {
        pthread_detach(thread);
        q.owner = ::getpid();
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    static const AtExit at_exit;
}

void post(Write write, uint64_t tag, std::string text) {
    Queue& q = queue();
    std::unique_lock lock(q.mutex);
    if (q.owner != ::getpid()) {
        lock.unlock();
        return write(tag, text);
    }
    if (q.waiting + text.size() > kMostWaiting) {
        ++q.dropped;
        return;
    }
    q.waiting += text.size();
    q.lines.push_back({write, tag, std::move(text)});
    q.changed.notify_all();
}

size_t waiting() {
    Queue& q = queue();
    const std::lock_guard lock(q.mutex);
    return q.waiting;
}

bool flush(std::chrono::milliseconds limit) {
    Queue& q = queue();
    std::unique_lock lock(q.mutex);
    return q.owner != ::getpid() || q.changed.wait_for(lock, limit, [&] { return q.waiting == 0; });
}

}  // namespace vduse::lines
