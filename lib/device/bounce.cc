// SPDX-License-Identifier: BSD-3-Clause

#include "device/bounce.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "net/header.h"
#include "vduse/limits.h"
#include "vduse/offload.h"

namespace vduse::device {
namespace {

/// The kernel's default, which is fixed if the kernel has no attribute to change it.
constexpr uint64_t kDefaultBounce = uint64_t{64} << 20;
/// Bounce memory is mapped by pages of this size, whatever the kernel's page size.
constexpr uint64_t kPage = 4096;
/// For commands of the control queue, and for addresses that the kernel caches for each CPU.
constexpr uint64_t kReserve = uint64_t{1} << 20;
/// virtio_net stops a transmit queue with fewer than 19 free entries; this leaves it some.
constexpr uint16_t kLeastRing = 64;
/// The largest piece of memory that Linux allocates for data that a socket sends.
constexpr uint32_t kPieceOfLarge = 32 * 1024;
/// The default MTU of a netdev.
constexpr uint16_t kUsualMtu = 1500;

std::string mebibytes(uint64_t bytes) {
    return std::to_string((bytes + (1U << 20) - 1) >> 20);
}

/// The least that a netdev needs: transmit entries for frames of the usual MTU only.
uint64_t least_need(const DeviceConfig& config, uint16_t pairs, uint16_t queue_size) {
    return bounce_need(
        pairs, queue_size, net::kHeaderBytes + max_frame(std::min(config.mtu, kUsualMtu))
    );
}

uint16_t largest_ring(
    const DeviceConfig& config, const Shape& shape, uint16_t from, uint64_t room
) {
    while (from > kLeastRing && least_need(config, shape.pairs, from) > room)
        from /= 2;
    return from;
}

/// Asks the kernel for `wanted` bytes in all. Returns how many the device has.
Result<uint64_t> ask(uapi::Kernel& kernel, const DeviceConfig& config, uint64_t wanted) {
    const auto now = kernel.bounce_size(config.name);
    if (!now && config.bounce == 0)
        return kDefaultBounce;
    if (now && (wanted == *now || (config.bounce == 0 && wanted < *now)))
        return *now;
    const auto set = kernel.set_bounce_size(config.name, wanted);
    if (set)
        return wanted;
    if (config.bounce == 0)
        return *now;
    return Error{EINVAL, "bounce=" + std::to_string(wanted) + ": " + set.error().text()};
}

/// Why `room` bytes in each space are too few, and what would help.
std::string describe(
    const DeviceConfig& config, const Shape& shape, uint16_t queue_size, uint64_t room
) {
    const uint64_t need = least_need(config, shape.pairs, queue_size);
    std::string text =
        "it would not work as a netdev of this host: " + std::to_string(shape.pairs) +
        " queue pairs with rings of " + std::to_string(queue_size) + " need " + mebibytes(need) +
        " MiB of the kernel's bounce memory in an address space, and there are " +
        std::to_string(room >> 20) + " MiB; possible fixes: ";
    if (need * shape.spaces <= kMostBounce) {
        if (config.bounce != 0)
            return text + "bounce=" + mebibytes(need * shape.spaces) + "M";
        text += "a /sys/class/vduse/" + config.name + "/bounce_size that this process may write";
        const uint16_t ring = largest_ring(config, shape, queue_size, room);
        if (least_need(config, shape.pairs, ring) <= room)
            text += ", or queue_size=" + std::to_string(ring);
        return text;
    }
    if (shape.spaces > 1 && need <= kMostBounce)
        return text + (config.spaces == 0 ? "attach=virtio" : "as=1");
    const uint64_t most = kMostBounce / shape.spaces;
    const uint16_t ring = largest_ring(config, shape, queue_size, most);
    if (least_need(config, shape.pairs, ring) <= most)
        return text + "queue_size=" + std::to_string(ring);
    return text + "fewer queues";
}

}  // namespace

uint64_t bounce_need(uint16_t pairs, uint16_t queue_size, uint32_t entry) {
    // The kernel rounds the pages of what it maps up to a power of two.
    const uint64_t pages = std::bit_ceil((entry + kPage - 1) / kPage);
    return uint64_t{pairs} * queue_size * (1 + pages) * kPage + kReserve;
}

uint32_t bounce_entry(const DeviceConfig& config) {
    const bool large = config.csum && config.tso;
    if (!large)
        return net::kHeaderBytes + max_frame(config.mtu);
    // A large frame takes an entry for each piece of memory, unless it uses an indirect descriptor.
    return config.profile == Profile::full ? net::kHeaderBytes + kLongestLarge : kPieceOfLarge;
}

Result<BouncePlan> plan_bounce(
    uapi::Kernel& kernel, const DeviceConfig& config, const Shape& shape
) {
    const bool any_size = config.queue_size == 0;
    BouncePlan plan;
    if (!any_size)
        plan.queue_size = config.queue_size;
    if (config.attach == Attach::vhost && config.bounce == 0)
        return plan;
    const uint64_t comfortable = bounce_need(shape.pairs, plan.queue_size, bounce_entry(config));
    const uint64_t wanted = config.bounce != 0
                                ? config.bounce
                                : std::clamp(comfortable * shape.spaces, kLeastBounce, kMostBounce);
    const auto there = ask(kernel, config, wanted);
    if (!there)
        return there.error();
    const uint64_t room = *there / shape.spaces;
    if (least_need(config, shape.pairs, plan.queue_size) <= room)
        return plan;
    // A device that QEMU may use later keeps its ring size.
    const uint16_t ring = largest_ring(config, shape, plan.queue_size, room);
    if (any_size && config.attach == Attach::virtio &&
        least_need(config, shape.pairs, ring) <= room) {
        plan.note = "rings of " + std::to_string(ring) + " instead of " +
                    std::to_string(plan.queue_size) + ": the kernel's bounce memory of " +
                    mebibytes(*there) + " MiB has no room for more for " +
                    std::to_string(shape.pairs) + " queue pairs";
        plan.queue_size = ring;
        return plan;
    }
    plan.note = describe(config, shape, plan.queue_size, room);
    return plan;
}

}  // namespace vduse::device
