// SPDX-License-Identifier: BSD-3-Clause

// How it works: sysfs shows the virtio device below the vDPA device, and its netdev below that, as
// long as the netdev is in the namespace that this /sys was mounted for. If the netdev was moved
// before, its namespace is searched for the netdev whose parent is that virtio device. From then on
// its index is used, because udev or others may rename it at the same time.
#include "bus/netdev.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "base/rights.h"
#include "bus/netlink.h"
#include "vduse/bus.h"

namespace vduse::bus {
namespace {

namespace fs = std::filesystem;

struct Netdev {
    int index = 0;
    std::string name;
};

/// The first entry of `folder` whose name begins with `start`, or "".
std::string entry(const fs::path& folder, const std::string& start) {
    std::error_code error;
    for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator();
         at.increment(error))
        if (std::string name = at->path().filename().string(); name.starts_with(start))
            return name;
    return {};
}

/// The netdev of virtio device `folder`, in the namespace of /sys. Nothing if that is not our own
/// namespace, because there the index would be another netdev's.
std::optional<Netdev> netdev_below(const fs::path& folder) {
    Netdev netdev;
    netdev.name = entry(folder / "net", "");
    if (netdev.name.empty())
        return std::nullopt;
    std::ifstream(folder / "net" / netdev.name / "ifindex") >> netdev.index;
    std::array<char, IF_NAMESIZE> ours{};
    if (::if_indextoname(static_cast<unsigned>(netdev.index), ours.data()) == nullptr ||
        ours.data() != netdev.name)
        return std::nullopt;
    return netdev;
}

/// A socket in namespace `netns`. The thread that opens it ends here, so no thread stays in there.
Result<netlink::Socket> open_socket_in(const UniqueFd& netns) {
    std::optional<Result<netlink::Socket>> socket;
    std::thread([&] {
        if (::setns(netns.get(), CLONE_NEWNET) != 0)
            socket = with_rights(Error{errno, "enter the network namespace"}, kNeedsSysAdmin);
        else
            socket = netlink::Socket::open(NETLINK_ROUTE);
    }).join();
    return std::move(*socket);
}

/// The netdev whose parent is virtio device `parent`, in the namespace of `socket`.
Result<std::optional<Netdev>> netdev_of_parent(netlink::Socket& socket, const std::string& parent) {
    netlink::Request request(RTM_GETLINK, NLM_F_DUMP);
    request.extra_header<ifinfomsg>();
    std::optional<Netdev> found;
    auto done = socket.transact(request, "list netdevs", [&](const nlmsghdr* header) {
        Netdev netdev;
        netdev.index = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(header))->ifi_index;
        bool ours = false;
        netlink::for_each_attribute(header, sizeof(ifinfomsg), [&](const nlattr* attribute) {
            if (mnl_attr_get_type(attribute) == IFLA_IFNAME)
                netdev.name = mnl_attr_get_str(attribute);
            if (mnl_attr_get_type(attribute) == IFLA_PARENT_DEV_NAME)
                ours = mnl_attr_get_str(attribute) == parent;
        });
        if (ours)
            found = netdev;
    });
    if (!done)
        return done.error();
    return found;
}

/// Renames and moves `netdev`, which is in the namespace of `socket`. An empty `name` or `netns`
/// changes nothing.
Result<void> set_link(
    netlink::Socket& socket, const Netdev& netdev, const std::string& name, const UniqueFd& netns
) {
    netlink::Request request(RTM_SETLINK);
    request.extra_header<ifinfomsg>().ifi_index = netdev.index;
    std::string what = "netdev " + netdev.name;
    if (netns) {
        request.put(IFLA_NET_NS_FD, static_cast<uint32_t>(netns.get()));
        what += ": move it to its network namespace";
    }
    if (!name.empty()) {
        request.put(IFLA_IFNAME, name);
        what += ": rename it to " + name;
    }
    return socket.transact(request, what, [](const nlmsghdr*) {});
}

/// Looks once for the netdev of virtio device `folder`, and renames and moves it. false: there is
/// none yet.
Result<bool> try_to_place(const fs::path& folder, const std::string& name, const UniqueFd& netns) {
    if (const auto netdev = netdev_below(folder)) {
        if (!netns && (name.empty() || netdev->name == name))
            return true;
        auto socket = netlink::Socket::open(NETLINK_ROUTE);
        auto done = socket ? set_link(*socket, *netdev, name, netns) : socket.error();
        return done ? Result<bool>(true) : done.error();
    }
    if (!netns)
        return false;
    auto socket = open_socket_in(netns);
    if (!socket)
        return socket.error();
    const auto netdev = netdev_of_parent(*socket, folder.filename().string());
    if (!netdev)
        return netdev.error();
    if (!*netdev || name.empty() || (*netdev)->name == name)
        return netdev->has_value();
    auto done = set_link(*socket, **netdev, name, UniqueFd());
    return done ? Result<bool>(true) : done.error();
}

}  // namespace

Result<UniqueFd> open_netns(const std::string& netns) {
    const std::string path = netns.find('/') == std::string::npos ? "/run/netns/" + netns : netns;
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return with_rights(Error{errno, "network namespace " + path}, kNeedsFile);
    if (::ioctl(file.get(), NS_GET_NSTYPE) != CLONE_NEWNET)
        return Error{EINVAL, path + " is not a network namespace"};
    return file;
}

Result<void> place_netdev(
    const std::string& device,
    const std::string& name,
    const std::string& netns,
    const NetdevSearch& search
) {
    UniqueFd target;
    if (!netns.empty()) {
        auto opened = open_netns(netns);
        if (!opened)
            return opened.error();
        target = std::move(*opened);
    }
    const fs::path folder = fs::path(search.devices) / device;
    const auto end = std::chrono::steady_clock::now() + search.timeout;
    for (;;) {
        const std::string virtio = entry(folder, "virtio");
        if (!virtio.empty()) {
            const auto placed = try_to_place(folder / virtio, name, target);
            if (!placed)
                return placed.error();
            if (*placed)
                return {};
        }
        if (std::chrono::steady_clock::now() >= end)
            return Error{
                ETIMEDOUT,
                virtio.empty() ? device + ": no virtio device (is it bound to virtio_vdpa?)"
                               : device + ": no netdev of " + virtio +
                                     " (is the kernel module virtio_net loaded, was it moved?)"};
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

Result<void> place_netdev(
    const std::string& device, const std::string& name, const std::string& netns
) {
    return place_netdev(device, name, netns, {});
}

}  // namespace vduse::bus
