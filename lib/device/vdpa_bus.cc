// How it works: each request opens a netlink socket of its own, asks the controller for the number
// of family "vdpa" and sends one command. The kernel works while we are inside `send`; what it has
// to say about a failure comes with the acknowledgement ("extended ack") and goes into the Error.
#include "device/vdpa_bus.h"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/vdpa.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "uapi/kernel.h"

namespace vduse::device {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBus = "/sys/bus/vdpa";
constexpr const char* kManagementDevice = "vduse";

struct CloseSocket {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using Socket = std::unique_ptr<mnl_socket, CloseSocket>;

/// A request while it is composed.
class Request {
  public:
    Request(uint16_t family, uint8_t command, uint8_t version)
        : header_(mnl_nlmsg_put_header(buffer_.data())) {
        header_->nlmsg_type = family;
        header_->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
        header_->nlmsg_seq = 1;
        void* const place = mnl_nlmsg_put_extra_header(header_, sizeof(genlmsghdr));
        auto* const generic = static_cast<genlmsghdr*>(place);
        generic->cmd = command;
        generic->version = version;
    }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    void put(uint16_t attribute, const std::string& text) {
        mnl_attr_put_strz(header_, attribute, text.c_str());
    }
    [[nodiscard]] const nlmsghdr* header() const { return header_; }

  private:
    alignas(nlmsghdr) std::array<std::byte, 1024> buffer_{};
    nlmsghdr* header_;
};

Result<Socket> open_socket() {
    Socket socket(mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC));
    if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
        return Error{errno, "netlink socket"};
    int on = 1;  // a kernel that does not know the option just says less
    (void)mnl_socket_setsockopt(socket.get(), NETLINK_EXT_ACK, &on, sizeof on);
    return socket;
}

const char* as_bytes(const void* place) {
    return static_cast<const char*>(place);
}

/// Calls `visit` with each attribute after the first `offset` bytes of the payload.
template <class Visit>
void for_each_attribute(const nlmsghdr* header, size_t offset, Visit visit) {
    const void* const first = mnl_nlmsg_get_payload_offset(header, offset);
    const char* const end = as_bytes(mnl_nlmsg_get_payload_tail(header));
    const auto* attribute = static_cast<const nlattr*>(first);
    while (mnl_attr_ok(attribute, static_cast<int>(end - as_bytes(attribute)))) {
        visit(attribute);
        attribute = mnl_attr_next(attribute);
    }
}

/// What the kernel says about a failure, with ": " in front, or "".
std::string extended_ack(const nlmsghdr* header) {
    if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0)
        return {};
    const auto* const error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
    size_t offset = sizeof *error;
    if ((header->nlmsg_flags & NLM_F_CAPPED) == 0)
        offset += mnl_nlmsg_get_payload_len(&error->msg);
    std::string text;
    for_each_attribute(header, offset, [&](const nlattr* attribute) {
        if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
            mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
            text = std::string(": ") + mnl_attr_get_str(attribute);
    });
    return text;
}

/// The acknowledgement as a Result.
Result<void> outcome(const nlmsghdr* header, const std::string& what) {
    if (mnl_nlmsg_get_payload_len(header) < sizeof(nlmsgerr))
        return Error{EPROTO, what};
    const auto* const error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
    if (error->error == 0)
        return {};
    return Error{-error->error, what + extended_ack(header)};
}

/// Sends `request` and waits for the acknowledgement. `answer` sees what comes before it.
template <class Answer>
Result<void> transact(
    mnl_socket* socket, const Request& request, const std::string& what, Answer answer
) {
    if (mnl_socket_sendto(socket, request.header(), request.header()->nlmsg_len) < 0)
        return Error{errno, what};
    alignas(nlmsghdr) std::array<std::byte, 8192> buffer{};
    for (;;) {
        const ssize_t bytes = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
        if (bytes < 0)
            return Error{errno, what};
        const void* place = buffer.data();
        int rest = static_cast<int>(bytes);
        const auto* header = static_cast<const nlmsghdr*>(place);
        for (; mnl_nlmsg_ok(header, rest); header = mnl_nlmsg_next(header, &rest)) {
            if (header->nlmsg_type == NLMSG_ERROR)
                return outcome(header, what);
            answer(header);
        }
    }
}

/// The number that the kernel gave to family "vdpa" at boot.
Result<uint16_t> family_number(mnl_socket* socket) {
    Request request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
    request.put(CTRL_ATTR_FAMILY_NAME, VDPA_GENL_NAME);
    uint16_t number = 0;
    auto done = transact(
        socket,
        request,
        "netlink family vdpa (not there unless the kernel module vdpa is loaded)",
        [&](const nlmsghdr* header) {
            for_each_attribute(header, sizeof(genlmsghdr), [&](const nlattr* attribute) {
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
    auto socket = open_socket();
    if (!socket)
        return socket.error();
    const auto family = family_number(socket->get());
    if (!family)
        return family.error();
    Request request(*family, command, VDPA_GENL_VERSION);
    request.put(VDPA_ATTR_DEV_NAME, name);
    if (command == VDPA_CMD_DEV_NEW)
        request.put(VDPA_ATTR_MGMTDEV_DEV_NAME, kManagementDevice);
    return transact(socket->get(), request, what, [](const nlmsghdr*) {});
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
        return Error{errno, "write '" + text + "' to " + path.string()};
    return {};
}

/// What is in a folder, as far as it lasts: processes come and go while /proc is read.
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

/// Process `proc` ("/proc/PID") has `target` open.
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
    // The override comes first: an unbound device is anybody's.
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

bool vdpa_in_use(const std::string& name) {
    if (vdpa_driver(name) != kVhostVdpa)
        return false;
    const std::string node = "/dev/" + character_device(name);
    const UniqueFd file(::open(node.c_str(), O_RDWR | O_CLOEXEC));
    return !file && errno == EBUSY;
}

std::string vdpa_holder(const std::string& name) {
    const std::string node = character_device(name);
    if (node.empty())
        return {};
    for (const auto& process : entries("/proc")) {
        const std::string pid = process.filename().string();
        if (pid.find_first_not_of("0123456789") != std::string::npos ||
            !has_open(process, "/dev/" + node))
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
    if (!vdpa_exists(name))
        if (auto added = vdpa_add(name); !added)
            return added;
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
            ": stays on the vDPA bus; when its user has ended, type: vdpa dev del " + name};
}

}  // namespace vduse::device
