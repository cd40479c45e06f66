// How a device comes to be, and goes: /dev/vduse/control, the node, the queues.
#include <sys/eventfd.h>

#include <cerrno>

#include "base/log.h"
#include "device/bounce.h"
#include "device/session.h"
#include "device/shape.h"
#include "vduse/mac.h"
#include "virtio/config_space.h"

namespace vduse::device {
namespace {

constexpr const char* kNoControlQueue =
    "kernel refuses VIRTIO_NET_F_CTRL_VQ (as Linux up to 7.3 does unless its vduse.ko is patched)";

std::span<const uint8_t> bytes_of(const virtio::ConfigSpace& space) {
    return {reinterpret_cast<const uint8_t*>(&space), sizeof space};
}

}  // namespace

Session::Session(
    uapi::Kernel& kernel,
    const DeviceConfig& config,
    memory::Placer& placer,
    int wake_fd,
    std::chrono::milliseconds patience
)
    : kernel_(kernel),
      config_(config),
      placer_(placer),
      wake_fd_(wake_fd),
      patience_(patience),
      mac_(config.mac.value_or(MacAddress{})),
      control_(config.queue_pairs) {
    numa_nodes_.fill(memory::any_node());
}

Session::~Session() {
    // Data threads may not call any more, but one that does finds its gate closed.
    stop_all();
}

Result<std::unique_ptr<Session>> Session::create(
    uapi::Kernel& kernel,
    const DeviceConfig& config,
    memory::Placer& placer,
    int wake_fd,
    std::chrono::milliseconds patience
) {
    if (auto valid = validate(config); !valid)
        return valid.error();
    if (auto prepared = sched::Gate::prepare(); !prepared)
        return prepared.error();
    std::unique_ptr<Session> session(new Session(kernel, config, placer, wake_fd, patience));
    if (auto opened = session->open(); !opened)
        return Error{opened.error().code, "device " + config.name + ": " + opened.error().what};
    return session;
}

Result<void> Session::open_control() {
    auto control_node = kernel_.open_control();
    if (!control_node)
        return control_node.error();
    control_node_ = std::move(*control_node);
    const auto capabilities = agree(*control_node_);
    if (!capabilities)
        return capabilities.error();
    capabilities_ = *capabilities;
    return check(config_, capabilities_, kernel_.release());
}

Result<void> Session::open() {
    if (auto opened = open_control(); !opened)
        return opened;
    if (auto opened = open_journal(); !opened)
        return opened;
    if (auto done = adopt_or_make(); !done)
        return done;
    if (const std::string missing = describe_missing(capabilities_); !missing.empty())
        log(Severity::info,
            "%s: VDUSE of Linux %s lacks %s",
            name(),
            kernel_.release().c_str(),
            missing.c_str());
    return {};
}

Result<void> Session::make() {
    if (auto created = create_in_kernel(); !created)
        return created;
    auto prepared = prepare_node();
    if (!prepared) {
        // Nothing is left behind.
        node_.reset();
        (void)control_node_->destroy(config_.name);
    } else if (!journal_) {
        // What an earlier process kept is of another device now.
        Journal::forget(config_.journal_folder, config_.name);
    }
    return prepared;
}

Result<void> Session::open_node() {
    kick_ = UniqueFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!kick_)
        return Error{errno, "eventfd"};
    auto node = kernel_.open_device(config_.name, capabilities_.api_version);
    if (!node)
        return node.error();
    node_ = std::move(*node);
    queues_ = std::make_unique<Queue[]>(shape_.queues());
    for (uint32_t i = 0; i < shape_.queues(); ++i) {
        queues_[i].index = i;
        queues_[i].node = node_.get();
        queues_[i].wake_fd = wake_fd_;
    }
    for (uint32_t i = 1; i < 2U * shape_.pairs; i += 2)
        if (!(queues_[i].kick = UniqueFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))))
            return Error{errno, "eventfd"};
    views_ = std::vector<memory::View>(shape_.spaces);
    view_nodes_.assign(shape_.spaces, memory::any_node());
    return {};
}

Result<void> Session::prepare_node() {
    if (auto opened = open_node(); !opened)
        return opened;
    const auto bounce = plan_bounce(kernel_, config_, shape_);
    if (!bounce)
        return bounce.error();
    config_.queue_size = bounce->queue_size;
    if (!bounce->note.empty())
        log(Severity::warning, "%s: %s", name(), bounce->note.c_str());
    for (uint32_t i = 0; i < shape_.queues(); ++i)
        if (auto done = set_up_queue(i, 0); !done)
            return done.error();
    config_mac_ = mac_;
    reset();
    remember();
    return {};
}

Shape Session::wanted_shape(bool with_control) const {
    Shape shape = shape_of(config_, with_control);
    if (!capabilities_.groups()) {
        shape.grouped = false;
        shape.spaces = 1;
    }
    return shape;
}

Result<void> Session::create_in_kernel() {
    const bool want_control = config_.ctrl_vq != CtrlVq::off;
    auto created = create_once(wanted_shape(want_control));
    if (created || created.error().code != EINVAL || !want_control)
        return created;
    // EINVAL says nothing of the reason. If it works without, the control queue was it.
    if (!create_once(wanted_shape(false)))
        return created;
    if (config_.ctrl_vq == CtrlVq::on) {
        (void)control_node_->destroy(config_.name);
        return Error{ENOTSUP, std::string(kNoControlQueue) + ", and ctrl_vq=on asks for it"};
    }
    log(config_.queue_pairs > 1 ? Severity::warning : Severity::info,
        "%s: %s: going on without control queue, with one queue pair",
        name(),
        kNoControlQueue);
    return {};
}

Result<void> Session::create_once(const Shape& shape) {
    const virtio::ConfigSpace space = config_space(config_, shape);
    const bool groups = capabilities_.groups();
    const uapi::CreateParameters parameters{
        config_.name,
        shape.offered,
        shape.queues(),
        groups ? shape.groups() : 0,
        groups ? shape.spaces : 0,
        bytes_of(space)};
    shape_ = shape;
    auto created = control_node_->create(parameters);
    if (created || created.error().code != EEXIST)
        return created;
    // Left behind by a process that is gone, unless something holds it.
    if (auto destroyed = control_node_->destroy(config_.name); !destroyed)
        return Error{
            EBUSY,
            "exists already and is in use: by another process, or on the vDPA bus ('vdpa dev del " +
                config_.name + "' takes it off)"};
    return control_node_->create(parameters);
}

Result<void> Session::set_up_queue(uint32_t index, uint64_t features) {
    const uint32_t group = group_of(shape_, features, index);
    const bool last = shape_.has_control() && index == 2U * shape_.pairs;
    return node_->vq_setup(index, last ? kControlQueueSize : config_.queue_size, group);
}

}  // namespace vduse::device
