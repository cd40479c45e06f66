// SPDX-License-Identifier: BSD-3-Clause

#include "uapi/kernel.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <thread>
#include <vector>

#include "base/rights.h"

namespace vduse::uapi {
namespace {

constexpr uint32_t kVirtioIdNet = 1;
constexpr uint32_t kPageSize = 4096;

Error failed(std::string what) {
    return Error{errno, std::move(what)};
}

/// The result of `ioctl` if it is >= 0, or the error with the name of the request.
Result<int> call(int fd, unsigned long request, void* argument, const char* name) {
    const int answer = ::ioctl(fd, request, argument);
    if (answer < 0)
        return failed(name);
    return answer;
}

Result<void> done(const Result<int>& answer) {
    if (!answer)
        return answer.error();
    return {};
}

std::array<char, abi::kNameMax> padded(const std::string& name) {
    std::array<char, abi::kNameMax> result{};
    std::copy_n(name.begin(), std::min(name.size(), result.size() - 1), result.begin());
    return result;
}

class LinuxControlNode final : public ControlNode {
  public:
    explicit LinuxControlNode(UniqueFd fd) : fd_(std::move(fd)) {}

    Result<void> set_api_version(uint64_t version) override {
        return done(call(fd_.get(), abi::kSetApiVersion, &version, "VDUSE_SET_API_VERSION"));
    }

    Result<uint64_t> get_features() override {
        uint64_t features = 0;
        const auto answer = call(fd_.get(), abi::kGetFeatures, &features, "VDUSE_GET_FEATURES");
        if (!answer)
            return answer.error();
        return features;
    }

    Result<void> set_features(uint64_t features) override {
        return done(call(fd_.get(), abi::kSetFeatures, &features, "VDUSE_SET_FEATURES"));
    }

    Result<void> create(const CreateParameters& parameters) override {
        abi::DevConfig config{};
        config.name = padded(parameters.name);
        config.device_id = kVirtioIdNet;
        config.features = parameters.features;
        config.vq_num = parameters.queues;
        config.vq_align = kPageSize;
        config.ngroups = parameters.groups;
        config.nas = parameters.spaces;
        config.config_size = static_cast<uint32_t>(parameters.config.size());
        std::vector<uint8_t> bytes(sizeof config + parameters.config.size());
        std::memcpy(bytes.data(), &config, sizeof config);
        std::copy(
            parameters.config.begin(), parameters.config.end(), bytes.begin() + sizeof config
        );
        const auto created = call(fd_.get(), abi::kCreateDev, bytes.data(), "VDUSE_CREATE_DEV");
        if (!created)
            return with_rights(created.error(), kNeedsNetAdmin);
        return {};
    }

    Result<void> destroy(const std::string& name) override {
        auto argument = padded(name);
        return done(call(fd_.get(), abi::kDestroyDev, argument.data(), "VDUSE_DESTROY_DEV"));
    }

  private:
    UniqueFd fd_;
};

class LinuxDeviceNode final : public DeviceNode {
  public:
    LinuxDeviceNode(UniqueFd fd, uint64_t api_version)
        : fd_(std::move(fd)), api_version_(api_version) {}

    [[nodiscard]] int fd() const override { return fd_.get(); }

    Result<abi::Request> read_request() override {
        abi::Request request{};
        const ssize_t bytes = ::read(fd_.get(), &request, sizeof request);
        if (bytes < 0)
            return failed("read of a VDUSE request");
        if (bytes != sizeof request)
            return Error{EIO, "read of a VDUSE request: short"};
        return request;
    }

    Result<void> write_response(const abi::Response& response) override {
        const ssize_t bytes = ::write(fd_.get(), &response, sizeof response);
        if (bytes < 0)
            return failed("write of a VDUSE response");
        if (bytes != sizeof response)
            return Error{EIO, "write of a VDUSE response: short"};
        return {};
    }

    Result<IotlbRegion> iotlb_region(uint32_t asid, uint64_t first, uint64_t last) override {
        if (api_version_ < abi::kApiVersion1) {
            abi::IotlbEntry entry{};
            return region(entry, first, last, abi::kIotlbGetFd, "VDUSE_IOTLB_GET_FD");
        }
        abi::IotlbEntryV2 entry{};
        entry.asid = asid;
        return region(entry, first, last, abi::kIotlbGetFd2, "VDUSE_IOTLB_GET_FD2");
    }

    Result<uint64_t> driver_features() override {
        uint64_t features = 0;
        const auto answer =
            call(fd_.get(), abi::kDevGetFeatures, &features, "VDUSE_DEV_GET_FEATURES");
        if (!answer)
            return answer.error();
        return features;
    }

    Result<void> set_config(uint32_t offset, std::span<const uint8_t> bytes) override {
        const abi::ConfigData header{offset, static_cast<uint32_t>(bytes.size())};
        std::vector<uint8_t> argument(sizeof header + bytes.size());
        std::memcpy(argument.data(), &header, sizeof header);
        std::copy(bytes.begin(), bytes.end(), argument.begin() + sizeof header);
        return done(call(fd_.get(), abi::kDevSetConfig, argument.data(), "VDUSE_DEV_SET_CONFIG"));
    }

    Result<void> inject_config_irq() override {
        return done(
            call(fd_.get(), abi::kDevInjectConfigIrq, nullptr, "VDUSE_DEV_INJECT_CONFIG_IRQ")
        );
    }

    Result<void> vq_setup(uint32_t index, uint16_t max_size, uint32_t group) override {
        abi::VqConfig config{};
        config.index = index;
        config.max_size = max_size;
        config.group = group;
        return done(call(fd_.get(), abi::kVqSetup, &config, "VDUSE_VQ_SETUP"));
    }

    Result<abi::VqInfo> vq_info(uint32_t index) override {
        abi::VqInfo info{};
        info.index = index;
        const auto answer = call(fd_.get(), abi::kVqGetInfo, &info, "VDUSE_VQ_GET_INFO");
        if (!answer)
            return answer.error();
        return info;
    }

    Result<void> vq_kickfd(uint32_t index, int kickfd) override {
        abi::VqEventfd argument{index, kickfd};
        return done(call(fd_.get(), abi::kVqSetupKickfd, &argument, "VDUSE_VQ_SETUP_KICKFD"));
    }

    int inject_irq(uint32_t index) noexcept override {
        return ::ioctl(fd_.get(), abi::kVqInjectIrq, &index) < 0 ? errno : 0;
    }

  private:
    template <class Entry>
    [[nodiscard]] Result<IotlbRegion> region(
        Entry& entry, uint64_t first, uint64_t last, unsigned long request, const char* name
    ) const {
        entry.start = first;
        entry.last = last;
        const auto fd = call(fd_.get(), request, &entry, name);
        if (!fd)
            return fd.error();
        ::fcntl(*fd, F_SETFD, FD_CLOEXEC);  // the kernel does not set it
        return IotlbRegion{entry.start, entry.last, entry.offset, entry.perm, UniqueFd(*fd)};
    }

    UniqueFd fd_;
    uint64_t api_version_;
};

std::string bounce_path(const std::string& name) {
    return "/sys/class/vduse/" + name + "/bounce_size";
}

class LinuxKernel final : public Kernel {
  public:
    Result<std::unique_ptr<ControlNode>> open_control() override {
        UniqueFd fd(::open("/dev/vduse/control", O_RDWR | O_CLOEXEC));
        if (!fd && errno == ENOENT)
            return failed(
                "open /dev/vduse/control (modprobe vduse; the kernel must have CONFIG_VDPA_USER, "
                "as Debian 13's has)"
            );
        if (!fd)
            return with_rights(failed("open /dev/vduse/control"), kNeedsFile);
        return std::unique_ptr<ControlNode>(std::make_unique<LinuxControlNode>(std::move(fd)));
    }

    Result<std::unique_ptr<DeviceNode>> open_device(const std::string& name, uint64_t api_version)
        override {
        const std::string path = "/dev/vduse/" + name;
        // The node appears a moment after CREATE_DEV, because devtmpfs makes it in its own thread.
        for (int attempt = 0;; ++attempt) {
            UniqueFd fd(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
            if (fd)
                return std::unique_ptr<DeviceNode>(
                    std::make_unique<LinuxDeviceNode>(dup_to_high_fd(std::move(fd)), api_version)
                );
            if (errno != ENOENT || attempt == 100)
                return with_rights(failed("open " + path), kNeedsFile);
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }

    bool has_device(const std::string& name) override {
        return ::access(("/dev/vduse/" + name).c_str(), F_OK) == 0;
    }

    std::string bus_driver(const std::string& name) override {
        std::error_code error;
        const auto link =
            std::filesystem::read_symlink("/sys/bus/vdpa/devices/" + name + "/driver", error);
        return error ? std::string() : link.filename().string();
    }

    Result<uint64_t> bounce_size(const std::string& name) override {
        const UniqueFd file(::open(bounce_path(name).c_str(), O_RDONLY | O_CLOEXEC));
        std::array<char, 32> text{};
        const ssize_t length = file ? ::read(file.get(), text.data(), text.size()) : -1;
        if (length < 0)
            return failed("read " + bounce_path(name));
        uint64_t bytes = 0;
        if (std::from_chars(text.data(), text.data() + length, bytes).ec != std::errc())
            return Error{EIO, bounce_path(name) + " does not contain a number"};
        return bytes;
    }

    Result<void> set_bounce_size(const std::string& name, uint64_t bytes) override {
        const UniqueFd file(::open(bounce_path(name).c_str(), O_WRONLY | O_CLOEXEC));
        const std::string text = std::to_string(bytes);
        if (!file || ::write(file.get(), text.data(), text.size()) < 0)
            return with_rights(failed("write " + text + " to " + bounce_path(name)), kNeedsFile);
        return {};
    }

    std::string release() override {
        utsname name{};
        return ::uname(&name) == 0 ? name.release : "";
    }
};

}  // namespace

Kernel& linux_kernel() {
    static LinuxKernel kernel;
    return kernel;
}

}  // namespace vduse::uapi
