// SPDX-License-Identifier: BSD-3-Clause

#include "support/fake_kernel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "virtio/features.h"

namespace vduse::test {
namespace {

using uapi::abi::Request;
using uapi::abi::RequestType;
using uapi::abi::Response;

/// Maximum number of pumps to answer one request.
constexpr int kTurns = 1000;

Request request_of(RequestType type) {
    Request request{};
    request.type = static_cast<uint32_t>(type);
    return request;
}

Error failed(int code, const char* what) {
    return Error{code, std::string("fake kernel: ") + what};
}

UniqueFd duplicate(int fd) {
    return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

}  // namespace

// ---- faults

void Faults::fail(const std::string& method, int code, unsigned nth, unsigned times) {
    const std::lock_guard lock(mutex_);
    Method& m = methods_[method];
    m.first = m.calls + nth;
    m.end = m.first + times;
    m.code = code;
}

unsigned Faults::calls(const std::string& method) {
    const std::lock_guard lock(mutex_);
    return methods_[method].calls;
}

int Faults::hit(const std::string& method) {
    if (const int code = watch ? watch(method) : 0; code != 0)
        return code;
    const std::lock_guard lock(mutex_);
    Method& m = methods_[method];
    ++m.calls;
    return m.first <= m.calls && m.calls < m.end ? m.code : 0;
}

// ---- the device: actions of the test

FakeDevice::FakeDevice(
    Faults& faults,
    const uapi::CreateParameters& parameters,
    uint64_t version,
    uint64_t agreed_features
)
    : name(parameters.name),
      api_version(version),
      vduse_features(agreed_features),
      features(parameters.features),
      groups(std::max(parameters.groups, 1U)),
      config(parameters.config.begin(), parameters.config.end()),
      vqs(std::make_unique<VirtQueue[]>(parameters.queues)),
      queues(parameters.queues),
      group_asids(groups),
      spaces(std::max(parameters.spaces, 1U)),
      faults_(faults) {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0) {
        node_end_ = UniqueFd(ends[0]);
        kernel_end_ = UniqueFd(ends[1]);
    }
}

uint32_t FakeDevice::queue(Request request) {
    request.request_id = next_id_++;
    waiting_.push_back(request);
    signal();
    return request.request_id;
}

/// Makes the node readable exactly while a request is queued.
void FakeDevice::signal() {
    pollfd poll{node_end_.get(), POLLIN, 0};
    const bool readable = ::poll(&poll, 1, 0) == 1;
    char byte = 0;
    if (!waiting_.empty() && !readable)
        (void)!::write(kernel_end_.get(), &byte, 1);
    else if (waiting_.empty() && readable)
        (void)!::read(node_end_.get(), &byte, 1);
}

std::optional<Response> FakeDevice::send(const Request& request) {
    const uint32_t id = queue(request);
    for (int turn = 0; turn < kTurns && !answers_.contains(id) && pump; ++turn)
        pump();
    return answer(id);
}

std::optional<Response> FakeDevice::answer(uint32_t id) const {
    const auto found = answers_.find(id);
    return found == answers_.end() ? std::nullopt : std::optional(found->second);
}

void FakeDevice::kill_caller(uint32_t id) {
    read_.erase(id);
    std::erase_if(waiting_, [&](const Request& request) { return request.request_id == id; });
    signal();
}

void FakeDevice::give_up() {
    broken = true;
    waiting_.clear();
    read_.clear();
    // poll(2) reports an error when the peer is closed with unread bytes.
    char byte = 0;
    (void)!::write(node_end_.get(), &byte, 1);
    kernel_end_ = UniqueFd();
}

bool FakeDevice::ok(const Request& request) {
    const auto response = send(request);
    return response && response->result == uapi::abi::kResultOk;
}

bool FakeDevice::set_status(uint8_t value) {
    Request request = request_of(RequestType::set_status);
    request.status = value;
    return ok(request);
}

bool FakeDevice::set_ready(uint32_t index, bool ready) {
    if ((vduse_features & uapi::abi::kFeatureQueueReady) == 0) {
        vqs[index].ready = ready;
        return true;
    }
    Request request = request_of(RequestType::set_vq_ready);
    request.vq_ready = {index, ready ? 1U : 0U};
    return ok(request);
}

bool FakeDevice::set_group_asid(uint32_t group, uint32_t asid) {
    if (api_version < 1)
        return false;
    Request request = request_of(RequestType::set_vq_group_asid);
    request.vq_group_asid = {group, asid};
    return ok(request);
}

bool FakeDevice::suspend() {
    return (vduse_features & uapi::abi::kFeatureSuspend) != 0 &&
           ok(request_of(RequestType::suspend));
}

bool FakeDevice::update_iotlb(uint32_t asid) {
    Request request = request_of(RequestType::update_iotlb);
    request.iova = {0, ~uint64_t{0}, api_version < 1 ? 0 : asid, 0};
    return ok(request);
}

std::optional<uint16_t> FakeDevice::get_vq_state(uint32_t index) {
    Request request = request_of(RequestType::get_vq_state);
    request.vq_state.index = index;
    const auto response = send(request);
    if (!response || response->result != uapi::abi::kResultOk)
        return std::nullopt;
    return response->vq_state.split.avail_index;
}

void FakeDevice::set_vq(uint32_t index, const ring::Layout& layout, uint16_t avail_index) {
    VirtQueue& vq = vqs[index];
    vq.num = layout.size;
    vq.desc = layout.desc;
    vq.driver = layout.avail;
    vq.device = layout.used;
    vq.avail_index = avail_index;
}

void FakeDevice::kick(uint32_t index) {
    VirtQueue& vq = vqs[index];
    if (suspended || !vq.ready)
        return;  // as in the kernel: the kick is lost
    const uint64_t one = 1;
    if (vq.kickfd)
        (void)!::write(vq.kickfd.get(), &one, sizeof one);
    else
        vq.kicked = true;
}

void FakeDevice::map(uint32_t asid, const GuestMemory& memory) {
    for (const GuestMemory::Entry& entry : memory.entries()) {
        const memory::Region& region = entry.region;
        const GuardedMemory& backing = *entry.memory;
        map(asid, region.first, region.last, backing.fd(), backing.offset(), region.perm);
    }
}

void FakeDevice::map(
    uint32_t asid, memory::Iova first, memory::Iova last, int fd, uint64_t offset, uint8_t perm
) {
    spaces[asid].push_back({first, last, offset, perm, duplicate(fd)});
}

void FakeDevice::unmap(uint32_t asid, memory::Iova first) {
    std::erase_if(spaces[asid], [&](const Mapped& mapped) { return mapped.first == first; });
}

// ---- the device: effects of an answer

void FakeDevice::apply(const Request& request, const Response& response) {
    const bool ok = response.result == uapi::abi::kResultOk;
    switch (static_cast<RequestType>(request.type)) {
        case RequestType::set_status:
            if (request.status == 0)
                reset();
            else if (ok)
                status = request.status;
            return;
        case RequestType::set_vq_group_asid:
            if (ok)
                group_asids[request.vq_group_asid.group] = request.vq_group_asid.asid;
            return;
        case RequestType::set_vq_ready: {
            if (!ok)
                return give_up();
            VirtQueue& vq = vqs[request.vq_ready.num];
            vq.ready = request.vq_ready.ready != 0;
            vq.ready_in = vq.ready ? ready_delay : 0;
            return;
        }
        case RequestType::suspend:
            suspended = suspended || ok;
            return;
        case RequestType::update_iotlb:
            if (!ok && request.iova.asid < spaces.size())
                unmap_all(request.iova.asid);
            return;
        case RequestType::get_vq_state:
            return;
    }
}

void FakeDevice::reset() {
    status = 0;
    suspended = false;
    driver_features = 0;
    for (uint32_t i = 0; i < queues; ++i) {
        VirtQueue& vq = vqs[i];
        vq.num = 0;
        vq.desc = vq.driver = vq.device = 0;
        vq.avail_index = 0;
        vq.ready = false;
        vq.ready_in = 0;
        vq.kickfd = UniqueFd();
        vq.kicked = false;
    }
}

// ---- the nodes

class FakeDeviceNode final : public uapi::DeviceNode {
  public:
    /// `api_version`: selects the ioctl that queries regions.
    FakeDeviceNode(std::shared_ptr<FakeDevice> device, uint64_t api_version)
        : device_(std::move(device)), api_version_(api_version) {
        device_->open = true;
    }
    ~FakeDeviceNode() override {
        FakeDevice& d = *device_;
        d.open = false;
        // Requests read but not answered are queued again, for the next process.
        for (auto unanswered = d.read_.rbegin(); unanswered != d.read_.rend(); ++unanswered)
            d.waiting_.push_front(unanswered->second);
        d.read_.clear();
        if (!d.broken)
            d.signal();
    }

    [[nodiscard]] int fd() const override { return device_->node_end_.get(); }

    Result<Request> read_request() override {
        FakeDevice& d = *device_;
        if (const int code = d.faults_.hit("read_request"))
            return failed(code, "read");
        if (d.broken)
            return failed(EPERM, "read");
        if (d.waiting_.empty())
            return failed(EAGAIN, "read");
        const Request request = d.waiting_.front();
        d.waiting_.pop_front();
        d.read_[request.request_id] = request;
        d.signal();
        return request;
    }

    Result<void> write_response(const Response& response) override {
        FakeDevice& d = *device_;
        if (const int code = d.faults_.hit("write_response"))
            return failed(code, "write");
        const auto found = d.read_.find(response.request_id);
        if (found == d.read_.end())
            return failed(ENOENT, "write: nobody waits for this answer");
        if (std::any_of(response.reserved.begin(), response.reserved.end(), [](auto r) {
                return r != 0;
            }))
            return failed(EINVAL, "write: reserved fields");
        const Request request = found->second;
        if (d.on_response)
            d.on_response(request, response);
        d.read_.erase(request.request_id);
        d.answers_[response.request_id] = response;
        d.apply(request, response);
        return {};
    }

    Result<uapi::IotlbRegion> iotlb_region(uint32_t asid, uint64_t first, uint64_t last) override {
        FakeDevice& d = *device_;
        if (const int code = d.faults_.hit("iotlb_region"))
            return failed(code, "VDUSE_IOTLB_GET_FD2");
        if (api_version_ < 1)
            asid = 0;  // VDUSE_IOTLB_GET_FD has no ASID
        else if (d.api_version < 1)
            return failed(ENOTTY, "VDUSE_IOTLB_GET_FD2");
        const FakeDevice::Mapped* lowest = nullptr;
        if (first <= last && asid < d.spaces.size())
            for (const FakeDevice::Mapped& mapped : d.spaces[asid])
                if (mapped.first <= last && mapped.last >= first &&
                    (lowest == nullptr || mapped.first < lowest->first))
                    lowest = &mapped;
        if (lowest == nullptr)
            return failed(EINVAL, "VDUSE_IOTLB_GET_FD2");
        return uapi::IotlbRegion{
            lowest->first,
            lowest->last,
            lowest->offset,
            lowest->perm,
            duplicate(lowest->file.get())};
    }

    Result<uint64_t> driver_features() override {
        if (const int code = device_->faults_.hit("driver_features"))
            return failed(code, "VDUSE_DEV_GET_FEATURES");
        if (device_->broken)
            return failed(EPERM, "VDUSE_DEV_GET_FEATURES");
        return device_->driver_features;
    }

    Result<void> set_config(uint32_t offset, std::span<const uint8_t> bytes) override {
        FakeDevice& d = *device_;
        if (const int code = d.faults_.hit("set_config"))
            return failed(code, "VDUSE_DEV_SET_CONFIG");
        if (bytes.empty() || offset > d.config.size() || bytes.size() > d.config.size() - offset)
            return failed(EINVAL, "VDUSE_DEV_SET_CONFIG");
        std::copy(bytes.begin(), bytes.end(), d.config.begin() + offset);
        d.config_writes.push_back({offset, {bytes.begin(), bytes.end()}});
        return {};
    }

    Result<void> inject_config_irq() override {
        FakeDevice& d = *device_;
        if (const int code = d.faults_.hit("inject_config_irq"))
            return failed(code, "VDUSE_DEV_INJECT_CONFIG_IRQ");
        if (d.suspended || !d.driver_ok())
            return failed(EINVAL, "VDUSE_DEV_INJECT_CONFIG_IRQ");
        ++d.config_irqs;
        return {};
    }

    Result<void> vq_setup(uint32_t index, uint16_t max_size, uint32_t group) override {
        FakeDevice& d = *device_;
        if (const int code = d.faults_.hit("vq_setup"))
            return failed(code, "VDUSE_VQ_SETUP");
        if (index >= d.queues || group >= d.groups || (d.api_version >= 1 && d.driver_ok()))
            return failed(EINVAL, "VDUSE_VQ_SETUP");
        FakeDevice::VirtQueue& vq = d.vqs[index];
        vq.max_size = max_size;
        vq.group = group;
        ++vq.setups;
        return {};
    }

    Result<uapi::abi::VqInfo> vq_info(uint32_t index) override {
        FakeDevice& d = *device_;
        if (const int code = d.faults_.hit("vq_info"))
            return failed(code, "VDUSE_VQ_GET_INFO");
        if (index >= d.queues)
            return failed(EINVAL, "VDUSE_VQ_GET_INFO");
        FakeDevice::VirtQueue& vq = d.vqs[index];
        uapi::abi::VqInfo info{};
        info.index = index;
        info.num = vq.num;
        info.desc_addr = vq.desc;
        info.driver_addr = vq.driver;
        info.device_addr = vq.device;
        info.split.avail_index = vq.avail_index;
        info.ready = vq.ready && vq.ready_in == 0 ? 1 : 0;
        if (vq.ready_in != 0)
            --vq.ready_in;
        return info;
    }

    Result<void> vq_kickfd(uint32_t index, int kickfd) override {
        FakeDevice& d = *device_;
        if (const int code = d.faults_.hit("vq_kickfd"))
            return failed(code, "VDUSE_VQ_SETUP_KICKFD");
        if (index >= d.queues)
            return failed(EINVAL, "VDUSE_VQ_SETUP_KICKFD");
        FakeDevice::VirtQueue& vq = d.vqs[index];
        vq.kickfd = kickfd < 0 ? UniqueFd() : duplicate(kickfd);
        if (vq.ready && vq.kicked && vq.kickfd) {
            vq.kicked = false;
            d.kick(index);
        }
        return {};
    }

    int inject_irq(uint32_t index) noexcept override {
        FakeDevice& d = *device_;
        if (const int code = d.faults_.hit("inject_irq"))
            return code;
        if (index >= d.queues || d.suspended || !d.driver_ok())
            return EINVAL;
        if (d.vqs[index].ready)  // otherwise it is dropped silently
            ++d.vqs[index].irqs;
        return 0;
    }

  private:
    std::shared_ptr<FakeDevice> device_;
    uint64_t api_version_;
};

class FakeControlNode final : public uapi::ControlNode {
  public:
    explicit FakeControlNode(FakeKernel& kernel) : kernel_(kernel) {}

    Result<void> set_api_version(uint64_t version) override {
        if (const int code = kernel_.faults.hit("set_api_version"))
            return failed(code, "VDUSE_SET_API_VERSION");
        if (version > kernel_.newest_version)
            return failed(EINVAL, "VDUSE_SET_API_VERSION");
        api_version_ = version;
        return {};
    }

    Result<uint64_t> get_features() override {
        if (const int code = kernel_.faults.hit("get_features"))
            return failed(code, "VDUSE_GET_FEATURES");
        if (!kernel_.has_features)
            return failed(EINVAL, "VDUSE_GET_FEATURES");
        return kernel_.vduse_features;
    }

    Result<void> set_features(uint64_t features) override {
        if (const int code = kernel_.faults.hit("set_features"))
            return failed(code, "VDUSE_SET_FEATURES");
        if (!kernel_.has_features || (features & ~kernel_.vduse_features) != 0)
            return failed(EINVAL, "VDUSE_SET_FEATURES");
        vduse_features_ = features;
        return {};
    }

    Result<void> create(const uapi::CreateParameters& parameters) override {
        if (const int code = kernel_.faults.hit("create"))
            return failed(code, "VDUSE_CREATE_DEV");
        const auto lacks = [&](uint64_t feature) { return (parameters.features & feature) == 0; };
        if (lacks(virtio::kFeatureAccessPlatform) || lacks(virtio::kFeatureVersion1) ||
            (kernel_.refuse_ctrl_vq && !lacks(virtio::kFeatureCtrlVq)) ||
            (parameters.groups != 0) != (api_version_ >= 1) ||
            (parameters.spaces != 0) != (api_version_ >= 1) || parameters.queues > 0xffff ||
            parameters.name.empty())
            return failed(EINVAL, "VDUSE_CREATE_DEV");
        if (kernel_.devices_.contains(parameters.name))
            return failed(EEXIST, "VDUSE_CREATE_DEV");
        kernel_.devices_[parameters.name] =
            std::make_shared<FakeDevice>(kernel_.faults, parameters, api_version_, vduse_features_);
        return {};
    }

    Result<void> destroy(const std::string& name) override {
        if (const int code = kernel_.faults.hit("destroy"))
            return failed(code, "VDUSE_DESTROY_DEV");
        const FakeDevice* device = kernel_.device(name);
        if (device == nullptr)
            return failed(EINVAL, "VDUSE_DESTROY_DEV");
        if (device->open || device->on_bus)
            return failed(EBUSY, "VDUSE_DESTROY_DEV");
        kernel_.devices_.erase(name);
        return {};
    }

  private:
    FakeKernel& kernel_;
    uint64_t api_version_ = 0;
    uint64_t vduse_features_ = 0;
};

// ---- the kernel

Result<uint64_t> FakeKernel::bounce_size(const std::string& name) {
    if (const int code = faults.hit("bounce_size"))
        return failed(code, "read bounce_size");
    const FakeDevice* const found = device(name);
    if (found == nullptr || !has_bounce_size)
        return failed(ENOENT, "read bounce_size");
    return found->bounce_size;
}

Result<void> FakeKernel::set_bounce_size(const std::string& name, uint64_t bytes) {
    if (const int code = faults.hit("set_bounce_size"))
        return failed(code, "write bounce_size");
    FakeDevice* const found = device(name);
    if (found == nullptr || !has_bounce_size)
        return failed(ENOENT, "write bounce_size");
    if (found->on_bus)
        return failed(EPERM, "write bounce_size");
    if (bytes < uint64_t{1} << 20 || bytes > uint64_t{1} << 30)
        return failed(EINVAL, "write bounce_size");
    found->bounce_size = bytes;
    return {};
}

void FakeKernel::be_linux(Linux version) {
    newest_version = version == Linux::v6_12 ? 0 : 1;
    has_features = version == Linux::v7_3;
    running = version == Linux::v6_12  ? "6.12.0-fake"
              : version == Linux::v7_2 ? "7.2.0-fake"
                                       : "7.3.0-fake";
}

Result<std::unique_ptr<uapi::ControlNode>> FakeKernel::open_control() {
    if (const int code = faults.hit("open_control"))
        return failed(code, "open /dev/vduse/control");
    return std::unique_ptr<uapi::ControlNode>(std::make_unique<FakeControlNode>(*this));
}

Result<std::unique_ptr<uapi::DeviceNode>> FakeKernel::open_device(
    const std::string& name, uint64_t api_version
) {
    if (const int code = faults.hit("open_device"))
        return failed(code, "open of a device");
    const auto found = devices_.find(name);
    if (found == devices_.end())
        return failed(ENOENT, "open of a device");
    if (found->second->open)
        return failed(EBUSY, "open of a device");
    return std::unique_ptr<uapi::DeviceNode>(
        std::make_unique<FakeDeviceNode>(found->second, api_version)
    );
}

FakeDevice* FakeKernel::device(const std::string& name) {
    const auto found = devices_.find(name);
    return found == devices_.end() ? nullptr : found->second.get();
}

}  // namespace vduse::test
