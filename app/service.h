// SPDX-License-Identifier: BSD-3-Clause

// The running application: devices, ports, workers, and the loop of the main lcore.
//
//     start   devices under /dev/vduse, ports with their mbuf pool, workers, "ready", attach
//     run     answer the kernel and telemetry; links every 100 ms; statistics; results of attach
//     finish  statistics, links down, devices off the vDPA bus, workers stopped, ports closed,
//             devices destroyed
//
// Steps that may wait for the kernel (ports, the vDPA bus) run on the blocking thread, while the
// main lcore answers the kernel's messages to the devices. If start fails, adopted devices are left
// for the next process. A signal also interrupts start.
//
// On a request to hand over (SIGUSR2, take_over.h), the devices are released, and `finish` does not
// touch them.
//
// A device that the kernel gave up is taken out of service. A port that fails to start is out of
// service from the start (port_endpoint.h). The others are still served, and the exit status will
// be 1. If an attach fails, or no device is left in service, the process ends with that status.
//
// Exit status: 0; 2 for a mistake on the command line; 1 for any other failure.
//
// Threads: everything except those steps runs on the main lcore, which is the library's control
// thread.
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
#include "app/ports/port.h"
#include "app/ports/port_monitor.h"
#include "app/report/telemetry.h"

struct rte_mempool;

namespace vduse::app {

inline constexpr int kFailure = 1;
inline constexpr int kBadInput = 2;

/// The input of Service, except the options.
struct Start {
    std::chrono::milliseconds eal_took{};
    std::vector<std::string> vdevs;         ///< --vdev arguments withheld from the EAL (probe.h)
    std::vector<Predecessor> predecessors;  ///< they may still have ports
};

class Service {
  public:
    Service(const Options& options, Start start);
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    ~Service();

    Result<void> start();
    /// Returns after a signal, a hand-over, a failed attach, or when no device is left in service.
    void run();
    /// Must also be called after a failed `start`. Returns the exit status.
    int finish();
    /// `start` failed because of a mistake on the command line, which `what` explains.
    [[nodiscard]] bool usage_error() const { return status_ == kBadInput; }

  private:
    using Clock = std::chrono::steady_clock;

    // start
    Result<void> add_devices();
    /// Runs `work` on the blocking thread. Code ECANCELED: a signal came during start, and `work`
    /// has not finished.
    Result<void> run_blocking(Result<void> (Service::*work)());
    /// Serves the devices meanwhile. Code ECANCELED: as above; never during `finish`.
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
    /// Leaves the devices to another process, if that is possible.
    void hand_over();
    [[nodiscard]] std::string stats() const;

    // finish
    /// The device and its driver stay after this process exits.
    [[nodiscard]] bool stays(const Endpoint& device) const;
    /// Start failed, and the next process can adopt the device as it is.
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
    PortMonitor port_monitor_;
    std::unique_ptr<Telemetry> telemetry_;
    std::unique_ptr<BlockingThread> blocking_;
    std::vector<std::string> staying_;  ///< devices that stay on the vDPA bus after exit
    Clock::time_point next_links_;
    Clock::time_point next_stats_;
    Result<void> blocking_result_;  ///< of the last `run_blocking`
    bool finishing_ = false;
    bool running_ = false;
    bool given_away_ = false;
    bool stop_ = false;
    int status_ = 0;
};

}  // namespace vduse::app
