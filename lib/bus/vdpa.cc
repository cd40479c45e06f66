// SPDX-License-Identifier: BSD-3-Clause

// How it works: each request opens a netlink socket of its own, asks the generic netlink controller
// for the number of family "vdpa", and sends one command.
#include "vduse/bus.h"

#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/vdpa.h>
#include <linux/virtio_config.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/rights.h"
#include "bus/netlink.h"
#include "uapi/kernel.h"

namespace vduse::bus {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr const char* kBus = "/sys/bus/vdpa";
constexpr const char* kManagementDevice = "vduse";
/// How long a driver that is being bound may have no netdev, and how long it may have a netdev but
/// not be ready: then it waits for a single answer of the device.
constexpr auto kBindingTime = 3000ms;
constexpr auto kReadyTime = 200ms;
constexpr auto kPollInterval = 50ms;

void put_command(netlink::Request& request, uint8_t command, uint8_t version) {
    auto& header = request.extra_header<genlmsghdr>();
    header.cmd = command;
    header.version = version;
}

/// The number that the kernel gave to family "vdpa" at boot.
Result<uint16_t> family_number(netlink::Socket& socket) {
    netlink::Request request(GENL_ID_CTRL);
    put_command(request, CTRL_CMD_GETFAMILY, 1);
    request.put(CTRL_ATTR_FAMILY_NAME, VDPA_GENL_NAME);
    uint16_t number = 0;
    auto done = socket.transact(
        request,
        "netlink family vdpa (is the kernel module vdpa loaded?)",
        [&](const nlmsghdr* header) {
            netlink::for_each_attribute(header, sizeof(genlmsghdr), [&](const nlattr* attribute) {
                if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID &&
                    mnl_attr_validate(attribute, MNL_TYPE_U16) >= 0)
                    number = mnl_attr_get_u16(attribute);
            });
        }
    );
    if (!done)
        return done.error();
    return number;
}

Result<void> device_command(uint8_t command, const std::string& name, const std::string& what) {
    auto socket = netlink::Socket::open(NETLINK_GENERIC);
    if (!socket)
        return socket.error();
    const auto family = family_number(*socket);
    if (!family)
        return family.error();
    netlink::Request request(*family);
    put_command(request, command, VDPA_GENL_VERSION);
    request.put(VDPA_ATTR_DEV_NAME, name);
    if (command == VDPA_CMD_DEV_NEW)
        request.put(VDPA_ATTR_MGMTDEV_DEV_NAME, kManagementDevice);
    return socket->transact(request, what, [](const nlmsghdr*) {});
}

fs::path device_path(const std::string& name) {
    return fs::path(kBus) / "devices" / name;
}

fs::path driver_path(const std::string& driver) {
    return fs::path(kBus) / "drivers" / driver;
}

Result<void> write_file(const fs::path& path, const std::string& text) {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file || ::write(file.get(), text.data(), text.size()) < 0)
        return with_rights(Error{errno, "write '" + text + "' to " + path.string()}, kNeedsFile);
    return {};
}

/// The entries of a folder. An error ends the list, because processes may exit while /proc is read.
std::vector<fs::path> entries(const fs::path& folder) {
    std::vector<fs::path> paths;
    std::error_code error;
    fs::directory_iterator place(folder, error);
    while (!error && place != fs::directory_iterator()) {
        paths.push_back(place->path());
        place.increment(error);
    }
    return paths;
}

/// "vhost-vdpa-N", the device's character device in /dev, or "".
std::string character_device(const std::string& name) {
    for (const auto& path : entries(device_path(name)))
        if (path.filename().string().starts_with("vhost-vdpa-"))
            return path.filename().string();
    return {};
}

/// Whether the driver of a virtio device has set DRIVER_OK.
bool knows_ready(const fs::path& virtio_device) {
    unsigned status = 0;
    std::ifstream file(virtio_device / "status");
    file >> std::hex >> status;
    return (status & VIRTIO_CONFIG_S_DRIVER_OK) != 0;
}

/// Whether virtio_vdpa has the device, but its virtio device has no driver, or a driver without
/// DRIVER_OK. Returns how long that is normal while a driver is being bound; nothing if the device
/// is complete.
std::optional<std::chrono::milliseconds> half_made(const std::string& name) {
    for (const auto& path : entries(device_path(name))) {
        std::error_code error;
        if (!path.filename().string().starts_with("virtio"))
            continue;
        if (!fs::exists(path / "driver", error) || !fs::exists(path / "net", error))
            return kBindingTime;
        if (!knows_ready(path))
            return kReadyTime;
    }
    return std::nullopt;
}

/// Whether the device stays half made. A process leaves it so if it dies while the kernel executes
/// `vdpa dev add`: the driver's requests were not answered any more, and the driver is gone, or
/// continues as if they had been answered.
bool stays_half_made(const std::string& name) {
    for (auto waited = 0ms;; waited += kPollInterval) {
        const auto limit = half_made(name);
        if (!limit || waited >= *limit)
            return limit.has_value();
        std::this_thread::sleep_for(kPollInterval);
    }
}

/// Whether process `proc` ("/proc/PID") has `target` open.
bool has_open(const fs::path& proc, const fs::path& target) {
    const auto files = entries(proc / "fd");
    return std::any_of(files.begin(), files.end(), [&](const fs::path& file) {
        std::error_code gone;
        return fs::read_symlink(file, gone) == target;
    });
}

}  // namespace

Result<void> vdpa_driver_loaded(const std::string& driver) {
    std::error_code error;
    if (!fs::exists(driver_path(driver), error))
        return Error{
            ENODEV,
            "the kernel module " + driver + " is not loaded (type: modprobe " + driver + ")"};
    return {};
}

Result<void> vdpa_add(const std::string& name) {
    return device_command(VDPA_CMD_DEV_NEW, name, "vdpa dev add name " + name + " mgmtdev vduse");
}

Result<void> vdpa_del(const std::string& name) {
    return device_command(VDPA_CMD_DEV_DEL, name, "vdpa dev del " + name);
}

Result<void> vdpa_bind(const std::string& name, const std::string& driver) {
    if (!vdpa_exists(name))
        return Error{ENODEV, "bind to " + driver + ": " + name + " is not on the vDPA bus"};
    if (auto loaded = vdpa_driver_loaded(driver); !loaded)
        return loaded;
    const std::string current = vdpa_driver(name);
    if (current == driver)
        return {};
    // Set the override first: any bus driver may take an unbound device.
    if (auto done = write_file(device_path(name) / "driver_override", driver); !done)
        return done;
    if (!current.empty())
        if (auto done = write_file(driver_path(current) / "unbind", name); !done)
            return done;
    return write_file(driver_path(driver) / "bind", name);
}

bool vdpa_exists(const std::string& name) {
    std::error_code error;
    return fs::exists(device_path(name), error);
}

std::string vdpa_driver(const std::string& name) {
    return uapi::linux_kernel().bus_driver(name);
}

std::string vdpa_node(const std::string& name) {
    const std::string device = character_device(name);
    return device.empty() ? device : "/dev/" + device;
}

bool vdpa_in_use(const std::string& name) {
    if (vdpa_driver(name) != kVhostVdpa)
        return false;
    const std::string node = vdpa_node(name);
    const UniqueFd file(::open(node.c_str(), O_RDWR | O_CLOEXEC));
    return !file && errno == EBUSY;
}

std::string vdpa_holder(const std::string& name) {
    const std::string node = vdpa_node(name);
    if (node.empty())
        return {};
    for (const auto& process : entries("/proc")) {
        const std::string pid = process.filename().string();
        if (pid.find_first_not_of("0123456789") != std::string::npos || !has_open(process, node))
            continue;
        std::string command;
        std::ifstream comm(process / "comm");
        std::getline(comm, command);
        return command + " (pid " + pid + ")";
    }
    return {};
}

Result<void> vdpa_attach(const std::string& name, const std::string& driver) {
    if (auto loaded = vdpa_driver_loaded(driver); !loaded)
        return loaded;
    if (!vdpa_exists(name)) {
        if (auto added = vdpa_add(name); !added)
            return added;
    } else if (driver == kVirtioVdpa && stays_half_made(name)) {
        // Bind it again, which begins with a reset.
        if (auto done = write_file(driver_path(driver) / "unbind", name); !done)
            return done;
    }
    return vdpa_bind(name, driver);
}

Result<void> vdpa_detach(const std::string& name) {
    if (!vdpa_exists(name))
        return {};
    if (!vdpa_in_use(name))
        return vdpa_del(name);
    const std::string holder = vdpa_holder(name);
    return Error{
        EBUSY,
        "in use" + (holder.empty() ? "" : " by " + holder) +
            ": stays on the vDPA bus; when that process has exited, type: vdpa dev del " + name};
}

bool vdpa_may_stay(const std::string& name) {
    return vdpa_driver(name) != kVirtioVdpa;
}

}  // namespace vduse::bus
