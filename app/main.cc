// SPDX-License-Identifier: BSD-3-Clause

// vduse-dp: a datapath for VDUSE devices.
//
// `vduse-dp [EAL options] -- [options]`. The options after `--` are checked before the EAL starts,
// so that finding a typing error needs neither hugepages nor privileges. Lcores can be checked only
// once the EAL is up; this is done before any device exists. Then Service does the work.
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_version.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/control/console.h"
#include "app/control/signals.h"
#include "app/control/take_over.h"
#include "app/options/options.h"
#include "app/ports/probe.h"
#include "app/service.h"
#include "vduse/bus.h"

namespace vduse::app {
namespace {

/// The command line, cut at `--`.
struct Words {
    std::vector<char*> eal;  ///< with the program name
    std::vector<const char*> own;
    bool separated = false;
};

Words split(std::span<char*> argv) {
    const auto separator =
        std::ranges::find_if(argv, [](const char* word) { return std::string_view(word) == "--"; });
    Words words;
    const auto length = static_cast<size_t>(separator - argv.begin());
    words.eal.assign(argv.begin(), separator);
    words.separated = length < argv.size();
    if (words.separated)
        words.own.assign(separator + 1, argv.end());
    return words;
}

/// `vduse-dp -h` and `vduse-dp -V` work without `--`.
bool asks_about_us(const Words& words) {
    if (words.separated || words.eal.size() < 2)
        return false;
    const std::string_view first = words.eal[1];
    return first == "-h" || first == "--help" || first == "-V" || first == "--version";
}

int bad_input(const std::string& line) {
    print_error(line);
    return kBadInput;
}

int print_about(const Options& options) {
    if (options.help)
        std::fputs(kUsage, stdout);
    else
        std::printf("vduse-dp %s, %s\n", VDUSE_DP_VERSION, rte_version());
    return 0;
}

void print_notes(const Options& options) {
    for (const auto& name : unused_endpoints(options))
        print_note(name + " is in no --patch, --reflect or --bridge: its frames go nowhere");
    for (const DeviceOptions& device : options.devices)
        if (device.config.persist && device.config.attach == Attach::virtio)
            print_note(device.config.name + ": " + bus::kPersistentNetdev);
    for (const auto& line : qemu_limits(options))
        print_note(line);
}

int serve(const Options& options, Start start) {
    Service service(options, std::move(start));
    if (auto started = service.start(); started)
        service.run();
    else
        print_error(service.usage_error() ? started.error().what : started.error().text());
    return service.finish();
}

/// The error message about a --group-lcore, or "".
std::string bad_lcore(const Options& options) {
    for (const DeviceOptions& device : options.devices)
        for (const auto& [group, lcore] : device.group_lcores)
            if (rte_lcore_is_enabled(lcore) == 0 || lcore == rte_get_main_lcore())
                return "--group-lcore " + device.config.name + ":" + std::to_string(group) + "=" +
                       std::to_string(lcore) + ": not a worker lcore of the EAL options";
    return {};
}

/// Call it when the EAL is up.
int check_and_serve(const Options& options, Start start) {
    if (signalled()) {
        print_error("interrupted");
        return kFailure;
    }
    if (rte_lcore_count() < 2)
        return bad_input("needs the main lcore and at least one worker lcore, for example -l 0-1");
    if (const std::string line = bad_lcore(options); !line.empty())
        return bad_input(line);
    if (options.take_over) {
        auto taken = take_over(options);
        if (!taken) {
            print_error("--take-over: " + taken.error().text());
            return kFailure;
        }
        start.predecessors = std::move(*taken);
    }
    print_notes(options);
    return serve(options, std::move(start));
}

int run(std::span<char*> argv) {
    Words words = split(argv);
    if (asks_about_us(words))
        words.own.push_back(words.eal[1]);
    else if (!words.separated)
        return bad_input("no '--' after the EAL options, see vduse-dp -h");
    const auto options = parse_options(words.own);
    if (!options)
        return bad_input(options.error().what);
    if (options->help || options->version)
        return print_about(*options);
    block_signals();
    Start start;
    start.vdevs = withhold_vdevs(words.eal);
    const auto begin = std::chrono::steady_clock::now();
    if (rte_eal_init(static_cast<int>(words.eal.size()), words.eal.data()) < 0) {
        const int reason = rte_errno;
        print_error(std::string("EAL initialization failed: ") + rte_strerror(reason));
        return reason == EINVAL ? kBadInput : kFailure;  // EINVAL: almost always its options
    }
    start.eal_took = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - begin
    );
    const int status = check_and_serve(*options, std::move(start));
    (void)rte_eal_cleanup();
    return status;
}

}  // namespace
}  // namespace vduse::app

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    return vduse::app::run({argv, static_cast<size_t>(argc)});
}
