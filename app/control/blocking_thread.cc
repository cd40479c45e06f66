// How it works: see blocking_thread.h. `busy_` falls after the last report is in, so whoever sees
// it down and then takes the reports has them all.
#include "app/control/blocking_thread.h"

#include <cerrno>
#include <utility>

#include "app/control/signals.h"
#include "vduse/bus.h"

namespace vduse::app {

Report attach(const std::string& name, const std::string& driver) {
    if (const auto done = bus::vdpa_attach(name, driver); !done)
        return {name, name + ": not attached: " + done.error().text(), true};
    return {name, name + ": attached, driver " + driver};
}

Report detach(const std::string& name) {
    const auto done = bus::vdpa_detach(name);
    if (done)
        return {name, {}};
    // That somebody holds it is all right.
    if (done.error().code == EBUSY)
        return {name, name + ": " + done.error().what, false, true};
    return {name, name + ": " + done.error().text(), true, true};
}

Helper::~Helper() {
    cancel();
    if (thread_.joinable())
        thread_.join();
}

void Helper::start(std::vector<Step> steps) {
    if (thread_.joinable())
        thread_.join();
    cancelled_.store(false);
    busy_.store(true);
    thread_ = std::thread([this, steps = std::move(steps)] { work(steps); });
}

void Helper::work(const std::vector<Step>& steps) {
    block_signals();
    for (const Step& step : steps) {
        if (cancelled_.load())
            break;
        Report report = step();
        const std::lock_guard lock(mutex_);
        reports_.push_back(std::move(report));
        control_.wake();
    }
    busy_.store(false);
    control_.wake();
}

std::vector<Report> Helper::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(reports_, {});
}

}  // namespace vduse::app
