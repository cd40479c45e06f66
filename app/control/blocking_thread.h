// The helper thread: does what control must not do itself, because the kernel, or who has its
// locks, asks the device, that is control, before it lets go of the caller
// (lib/include/vduse/bus.h, probe.h).
//
// It works through a list of steps, which may leave reports; the main lcore, which keeps answering
// the kernel meanwhile, is woken to take them and print them.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "vduse/device.h"

namespace vduse::app {

struct Report {
    std::string device;
    std::string line;     ///< for people
    bool failed = false;  ///< `line` is an error
    bool stays = false;   ///< the device is still on the vDPA bus, and that is all right
};

using Step = std::function<Report()>;

/// Puts a device on the vDPA bus and binds it to `driver`.
Report attach(const std::string& name, const std::string& driver);

/// Takes a device off the vDPA bus, unless somebody holds it.
Report detach(const std::string& name);

class Helper {
  public:
    explicit Helper(Control& control) : control_(control) {}
    Helper(const Helper&) = delete;
    Helper& operator=(const Helper&) = delete;
    /// Waits for the step that it is in.
    ~Helper();

    /// Not while `busy`.
    void start(std::vector<Step> steps);
    /// Steps not yet begun are left out.
    void cancel() { cancelled_.store(true); }
    [[nodiscard]] bool busy() const { return busy_.load(); }
    /// The reports since the last call.
    std::vector<Report> take();

  private:
    void work(const std::vector<Step>& steps);

    Control& control_;
    std::thread thread_;
    std::atomic<bool> busy_ = false;
    std::atomic<bool> cancelled_ = false;
    std::mutex mutex_;
    std::vector<Report> reports_;
};

}  // namespace vduse::app
