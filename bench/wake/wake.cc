// SPDX-License-Identifier: BSD-3-Clause

// The cost and benefit of sleeping: how long a frame waits for a sleeping worker and for a polling
// one, and how much CPU time each uses while idle.
//
//   driver thread:  pause 2 ms, publish a frame, read the clock, kick if the device asks for it
//   worker thread:  take the frame in a burst, read the clock; poll, or sleep as with --idle-us
//
// The worker sleeps in the application's own class (app/datapath/idle.h), on a real Device with the
// fake kernel. The driver's kick is a write to the eventfd; a real kick comes from inside the
// kernel.
//
// Usage: bench_wake [FRAMES]     (default 2000)
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <thread>
#include <vector>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "app/datapath/idle.h"
#include "net/header.h"
#include "support/fake_kernel.h"
#include "support/guest_memory.h"
#include "support/mbufs.h"
#include "support/mock_driver.h"
#include "virtio/features.h"

namespace vduse::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr memory::Iova kFrameAt = 0x10000;
constexpr uint32_t kFrameBytes = net::kHeaderBytes + 60;
constexpr milliseconds kPause{2};
constexpr milliseconds kIdleTime{2000};
constexpr microseconds kTimeout{100};

void require(bool condition, const char* what) {
    if (condition)
        return;
    std::fprintf(stderr, "bench_wake: %s\n", what);
    std::exit(1);
}

/// A device with a driver and one pair; interrupts are disabled.
class Bench {
  public:
    Bench() {
        memory_.add(0, 0xfffff);
        auto control = Control::create(&kernel_);
        require(bool(control), "no Control");
        control_ = std::move(*control);
        DeviceConfig config;
        config.name = "bench";
        config.ctrl_vq = CtrlVq::off;
        auto device = control_->add(config);
        require(bool(device), "no Device");
        device_ = std::move(*device);
        vd_ = kernel_.device(config.name);
        vd_->pump = [this] { control_->run_once(0); };
        start();
    }

    [[nodiscard]] Device& device() { return *device_; }

    void send() {
        while (driver_->take_used()) {
        }
        require(driver_->offer({{kFrameAt, kFrameBytes, false}}).has_value(), "the ring is full");
        const bool kicks = driver_->publish();
        sent_at_ = Clock::now();
        if (kicks)
            vd_->kick(1);
    }
    [[nodiscard]] Clock::time_point sent_at() const { return sent_at_; }

  private:
    void start() {
        const auto ring = [&](uint32_t index) {
            const auto areas = test::RingAreas::behind(memory_.address(index * 0x4000), 64);
            auto made =
                std::make_unique<test::MockDriver>(areas, test::MockDriver::Options{.size = 64});
            vd_->set_vq(index, made->layout());
            return made;
        };
        bool good = vd_->set_status(0);
        vd_->map(0, memory_);
        vd_->set_features(virtio::kFeatureVersion1 | virtio::kFeatureAccessPlatform);
        good = good && vd_->set_status(0x0b);
        (void)ring(0);
        driver_ = ring(1);
        driver_->want_interrupts(false);
        good = good && vd_->update_iotlb(0) && vd_->set_status(0x0f) && vd_->set_ready(0) &&
               vd_->set_ready(1);
        require(good, "the device refused a message");
        for (int turn = 0; turn < 10; ++turn)
            control_->run_once(0);
    }

    test::FakeKernel kernel_;
    test::GuestMemory memory_;
    std::unique_ptr<Control> control_;
    std::unique_ptr<Device> device_;
    test::FakeDevice* vd_ = nullptr;
    std::unique_ptr<test::MockDriver> driver_;
    Clock::time_point sent_at_;
};

/// A worker with one lane that drops the frames.
class Worker {
  public:
    Worker(Device& device, rte_mempool* pool, bool sleeps) : device_(device), pool_(pool) {
        if (sleeps) {
            auto idle_wait = app::IdleWait::create(kTimeout);
            require(bool(idle_wait), "no IdleWait");
            idle_wait_ = std::move(*idle_wait);
            require(
                bool(idle_wait_->watch_pair(device.queue_pair(0), in_service_)),
                "no eventfd to watch"
            );
        }
        thread_ = std::thread([this] { loop(); });
    }
    ~Worker() {
        stop_ = true;
        if (idle_wait_ != nullptr)
            idle_wait_->wake();
        thread_.join();
    }

    [[nodiscard]] uint32_t taken() const { return taken_.load(std::memory_order_acquire); }
    /// When the last frame was taken.
    [[nodiscard]] Clock::time_point taken_at() const { return taken_at_; }
    [[nodiscard]] uint64_t wake_ups() const { return idle_wait_ ? idle_wait_->wake_ups() : 0; }
    [[nodiscard]] nanoseconds cpu_time() {
        clockid_t clock{};
        timespec now{};
        require(::pthread_getcpuclockid(thread_.native_handle(), &clock) == 0, "no clock");
        require(::clock_gettime(clock, &now) == 0, "no clock");
        return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
    }

  private:
    bool poll() {
        std::array<rte_mbuf*, 32> frames;
        const uint16_t count = device_.queue_pair(0).from_guest(pool_, frames);
        if (count == 0)
            return false;
        taken_at_ = Clock::now();
        taken_.fetch_add(count, std::memory_order_release);
        rte_pktmbuf_free_bulk(frames.data(), count);
        return true;
    }
    void loop() {
        while (!stop_) {
            if (poll()) {
                if (idle_wait_)
                    idle_wait_->busy();
                continue;
            }
            rte_pause();
            if (idle_wait_ == nullptr || !idle_wait_->idle_expired(rte_rdtsc()) ||
                !idle_wait_->arm())
                continue;
            if (poll())
                idle_wait_->busy();
            else
                idle_wait_->wait(-1);
            idle_wait_->disarm();
        }
    }

    Device& device_;
    rte_mempool* pool_;
    std::atomic<bool> in_service_ = true;
    std::unique_ptr<app::IdleWait> idle_wait_;
    std::atomic<bool> stop_ = false;
    std::atomic<uint32_t> taken_ = 0;
    Clock::time_point taken_at_;
    std::thread thread_;
};

void measure(const char* name, Bench& bench, rte_mempool* pool, bool sleeps, uint32_t frames) {
    Worker worker(bench.device(), pool, sleeps);
    std::vector<double> waits;
    for (uint32_t sent = 0; sent < frames; ++sent) {
        std::this_thread::sleep_for(kPause);
        bench.send();
        while (worker.taken() <= sent)
            std::this_thread::yield();
        waits.push_back(
            std::chrono::duration<double, std::micro>(worker.taken_at() - bench.sent_at()).count()
        );
    }
    const uint64_t woken = worker.wake_ups();
    const nanoseconds before = worker.cpu_time();
    const auto begin = Clock::now();
    std::this_thread::sleep_for(kIdleTime);
    const std::chrono::duration<double> busy = worker.cpu_time() - before;
    const std::chrono::duration<double> took = Clock::now() - begin;
    std::sort(waits.begin(), waits.end());
    const auto percentile = [&](size_t p) { return waits[(waits.size() - 1) * p / 100]; };
    std::printf(
        "%-10s %8u %10llu %10.1f %10.1f %10.1f %12.2f\n",
        name,
        frames,
        static_cast<unsigned long long>(woken),
        percentile(50),
        percentile(99),
        waits.back(),
        100 * busy / took
    );
}

int run(uint32_t frames) {
    require(test::start_eal(), "EAL initialization failed");
    const test::MbufPool pool(512);
    require(pool.get() != nullptr, "no mbufs");
    Bench bench;
    std::printf(
        "%-10s %8s %10s %10s %10s %10s %12s\n",
        "worker",
        "frames",
        "wake-ups",
        "p50 us",
        "p99 us",
        "max us",
        "idle CPU %"
    );
    measure("polling", bench, pool.get(), false, frames);
    measure("sleeping", bench, pool.get(), true, frames);
    return 0;
}

}  // namespace
}  // namespace vduse::bench

int main(int argc, char** argv) {
    const long frames = argc > 1 ? std::atol(argv[1]) : 2000;
    if (argc > 2 || frames < 1 || frames > 1'000'000) {
        std::fprintf(stderr, "usage: bench_wake [FRAMES]\n");
        return 2;
    }
    return vduse::bench::run(static_cast<uint32_t>(frames));
}
