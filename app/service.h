// SPDX-License-Identifier: BSD-3-Clause

// The application in operation: devices, ports, workers, and the loop of the main lcore.
//
//     start   devices under /dev/vduse, ports with their mbuf pool, workers, "ready", attach
//     run     answer the kernel and telemetry; links every 100 ms; statistics; results of attach
//     finish  statistics, links down, devices off the vDPA bus, workers stopped, ports closed,
//             devices destroyed
//
// What may wait for the kernel (ports, the vDPA bus) is done by the blocking thread, while the main
// lcore answers the kernel's questions to the devices. A start that fails leaves the devices with
// which it went on to the next one. A signal interrupts a start, too.
//
// Asked to hand over (SIGUSR2, take_over.h), it lets go of the devices and finishes without
// touching them.
//
// A device that the kernel gave up is taken out of service, and so is a port that cannot be had
// from the start on (port_endpoint.h); the others go on, and the exit status will be 1. An attach
// that fails, or the last device that goes, ends the process with that status.
//
// Exit status: 0, 2 for a mistake on the command line, 1 for everything else that goes wrong.
//
// Threads: all but those steps on the main lcore, which is the control thread of the library.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "app/control/blocking_thread.h"
#include "app/control/link_policy.h"
#include "app/control/take_over.h"
#include "app/datapath/bridge.h"
#include "app/datapath/switch.h"
#include "app/options/options.h"
#include "app/ports/link_monitor.h"
#include "app/ports/port.h"
#include "app/report/telemetry.h"

struct rte_mempool;

namespace vduse::app {

inline constexpr int kFailure = 1;
inline constexpr int kBadInput = 2;

/// What there was before, but for the options.
struct Start {
    std::chrono::milliseconds eal_took{};
    std::vector<std::string> vdevs;         ///< the EAL's devices that it was not told of (probe.h)
    std::vector<Predecessor> predecessors;  ///< they may still have ports
};

class Service {
  public:
    Service(const Options& options, Start start);
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    ~Service();

    Result<void> start();
    /// Returns after a signal, or when it makes no sense to go on.
    void run();
    /// Also after a `start` that failed half-way. Returns the exit status.
    int finish();
    /// It was a mistake on the command line that made `start` fail, and `what` says all.
    [[nodiscard]] bool usage_error() const { return status_ == kBadInput; }

  private:
    using Clock = std::chrono::steady_clock;

    // start
    Result<void> add_devices();
    /// `work`, in the blocking thread. Code ECANCELED: a signal came during the start, and `work`
    /// is not done yet.
    Result<void> run_blocking(Result<void> (Service::*work)());
    /// Serves the devices meanwhile. Code ECANCELED: as above; never in `finish`.
    Result<void> wait_for_blocking();
    Result<void> add_ports();
    Result<void> start_ports(const std::vector<uint16_t>& ports);
    Result<void> connect();
    Result<void> make_bridge(const BridgeOption& option);
    void start_telemetry();
    void start_attach();

    // run
    void tick();
    void poll_devices();
    void print_results();
    /// Leaves the devices to another process, if they can be left.
    void hand_over();
    [[nodiscard]] std::string stats() const;

    // finish
    /// The device is there after us, and its driver.
    [[nodiscard]] bool stays(const Endpoint& device) const;
    /// The start failed, and the next process goes on with the device as it is.
    [[nodiscard]] bool left_alone(const Endpoint& device) const;
    void detach_devices();
    Result<void> close_ports();
    void destroy_devices();

    void fail(int status = kFailure) { status_ = std::max(status_, status); }
    Endpoint& endpoint(EndpointOption option) {
        return option.port ? *ports_[option.index] : *devices_[option.index];
    }

    const Options& options_;
    Start start_;
    std::unique_ptr<Control> control_;
    std::vector<std::unique_ptr<Device>> owned_;      ///< one for each of devices_
    std::vector<std::unique_ptr<Endpoint>> devices_;  ///< in the order of the options
    std::vector<std::unique_ptr<Endpoint>> ports_;
    rte_mempool* pool_ = nullptr;
    std::vector<std::unique_ptr<Bridge>> bridges_;
    std::unique_ptr<Switch> switch_;
    LinkFollower links_;
    LinkMonitor link_monitor_;
    std::unique_ptr<Telemetry> telemetry_;
    std::unique_ptr<BlockingThread> blocking_;
    std::vector<std::string> staying_;  ///< devices that stay on the vDPA bus after us
    Clock::time_point next_links_;
    Clock::time_point next_stats_;
    Result<void> blocking_result_;  ///< what came of the last `run_blocking`
    bool finishing_ = false;
    bool running_ = false;
    bool given_away_ = false;
    bool stop_ = false;
    int status_ = 0;
};

}  // namespace vduse::app
