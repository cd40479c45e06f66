// vduse-dp: a datapath for VDUSE devices.
//
// `vduse-dp [EAL options] -- [options]`. Everything after `--` is ours and is checked before the
// EAL starts, so that a typing error costs no hugepages and needs no rights. What only the EAL can
// tell (lcores, ports) is checked next, before any device exists. Then Service does the work.
//
// Exit status: 0, 2 for a mistake on the command line, 1 for everything else that goes wrong.
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_version.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "options.h"
#include "port.h"
#include "print.h"
#include "service.h"
#include "signals.h"

namespace vduse::app {
namespace {

constexpr int kFailure = 1;
constexpr int kBadInput = 2;

/// The command line, cut at `--`.
struct Words {
    std::span<char*> eal;  ///< with the name of the program
    std::vector<const char*> own;
    bool separated = false;
};

Words split(std::span<char*> argv) {
    const auto separator =
        std::ranges::find_if(argv, [](const char* word) { return std::string_view(word) == "--"; });
    Words words;
    const auto length = static_cast<size_t>(separator - argv.begin());
    words.eal = argv.first(length);
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

Result<std::vector<uint16_t>> find_ports(const Options& options) {
    std::vector<uint16_t> ports;
    for (const auto& name : options.ports) {
        const auto port = find_port(name);
        if (!port)
            return port.error();
        ports.push_back(*port);
    }
    return ports;
}

void print_notes(const Options& options) {
    for (const auto& name : unused_endpoints(options))
        print_note(name + " is in no --patch, --reflect or --bridge: its frames go nowhere");
    for (const auto& line : qemu_limits(options))
        print_note(line);
}

int serve(const Options& options, std::vector<uint16_t> ports) {
    Service service(options, std::move(ports));
    if (auto started = service.start(); started)
        service.run();
    else
        print_error(started.error().text());
    return service.finish();
}

/// The complaint about a --group-lcore, or "".
std::string bad_lcore(const Options& options) {
    for (const DeviceOptions& device : options.devices)
        for (const auto& [group, lcore] : device.group_lcores)
            if (rte_lcore_is_enabled(lcore) == 0 || lcore == rte_get_main_lcore())
                return "--group-lcore " + device.config.name + ":" + std::to_string(group) + "=" +
                       std::to_string(lcore) + ": no worker lcore of the EAL options";
    return {};
}

/// The EAL is up.
int check_and_serve(const Options& options) {
    if (rte_lcore_count() < 2)
        return bad_input("needs the main lcore and at least one worker lcore, for example -l 0-1");
    if (const std::string line = bad_lcore(options); !line.empty())
        return bad_input(line);
    auto ports = find_ports(options);
    if (!ports)
        return bad_input(ports.error().what);
    print_notes(options);
    return serve(options, std::move(*ports));
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
    if (rte_eal_init(static_cast<int>(words.eal.size()), words.eal.data()) < 0) {
        const int reason = rte_errno;
        print_error(std::string("the EAL does not start: ") + rte_strerror(reason));
        return reason == EINVAL ? kBadInput : kFailure;  // EINVAL: its options, or hardly ever else
    }
    const int status = check_and_serve(*options);
    (void)rte_eal_cleanup();
    return status;
}

}  // namespace
}  // namespace vduse::app

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    return vduse::app::run({argv, static_cast<size_t>(argc)});
}
