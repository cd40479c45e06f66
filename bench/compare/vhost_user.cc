// SPDX-License-Identifier: BSD-3-Clause

#include "bench/compare/vhost_user.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "virtio/features.h"

namespace vduse::bench {
namespace {

// The vhost-user specification, "Message types" and "Protocol features".
enum : uint32_t {
    kGetFeatures = 1,
    kSetFeatures = 2,
    kSetOwner = 3,
    kSetMemTable = 5,
    kSetVringNum = 8,
    kSetVringAddr = 9,
    kSetVringBase = 10,
    kSetVringKick = 12,
    kSetVringCall = 13,
    kGetProtocolFeatures = 15,
    kSetProtocolFeatures = 16,
    kSetVringEnable = 18,
    kSetBackendReqFd = 21,
    kIotlbMessage = 22,
};
constexpr uint64_t kFeatureProtocol = virtio::bit(30);
constexpr uint64_t kProtocolReplyAck = virtio::bit(3);
constexpr uint64_t kProtocolBackendReq = virtio::bit(5);
constexpr uint32_t kVersion1 = 1;
constexpr uint32_t kNeedReply = 8;
constexpr uint64_t kNoFd = 0x100;  ///< in place of an eventfd: the ring is polled

struct Header {
    uint32_t request;
    uint32_t flags;
    uint32_t bytes;
};
struct State {
    uint32_t index;
    uint32_t value;
};
struct Addresses {
    uint32_t index;
    uint32_t flags;
    uint64_t desc;
    uint64_t used;
    uint64_t avail;
    uint64_t log;
};
struct MemoryTable {
    uint32_t regions;
    uint32_t padding;
    uint64_t guest_address;
    uint64_t bytes;
    uint64_t user_address;
    uint64_t offset;
};
/// struct vhost_iotlb_msg; <linux/vhost_types.h> does not compile as C++.
struct IotlbMessage {
    uint64_t iova;
    uint64_t bytes;
    uint64_t user_address;
    uint8_t perm;
    uint8_t type;
};
static_assert(sizeof(IotlbMessage) == 32);
constexpr uint8_t kReadWrite = 3;
constexpr uint8_t kUpdate = 2;

}  // namespace

VhostUser::VhostUser(
    const std::string& path,
    const Ram& ram,
    const std::array<ring::Layout, 2>& rings,
    uint64_t features
)
    : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    require(path.size() < sizeof address.sun_path, "the socket's path is too long");
    std::copy(path.begin(), path.end(), address.sun_path);
    require(
        ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
        "connecting to rte_vhost"
    );
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    back_ = UniqueFd(ends[0]);
    const UniqueFd theirs(ends[1]);

    features |= kFeatureProtocol;
    constexpr uint64_t kProtocol = kProtocolReplyAck | kProtocolBackendReq;
    require((get(kGetFeatures) & features) == features, "rte_vhost lacks a feature");
    require((get(kGetProtocolFeatures) & kProtocol) == kProtocol, "rte_vhost has no IOTLB");
    send(kSetProtocolFeatures, 0, &kProtocol, sizeof kProtocol, -1);
    set(kSetOwner, nullptr, 0);
    set(kSetBackendReqFd, nullptr, 0, theirs.get());
    set_number(kSetFeatures, features);
    set_memory(ram);
    for (uint32_t i = 0; i < rings.size(); ++i)
        set_ring(i, rings[i]);
    for (const memory::Region& region : ram.regions()) {
        const IotlbMessage message{
            region.first,
            Ram::kRegionBytes,
            reinterpret_cast<uint64_t>(region.host),
            kReadWrite,
            kUpdate};
        set(kIotlbMessage, &message, sizeof message);
    }
    misses();  // discards those of the rings, which precede their entries
}

void VhostUser::set_memory(const Ram& ram) {
    MemoryTable table{};
    table.regions = 1;
    table.bytes = ram.bytes();
    table.user_address = reinterpret_cast<uint64_t>(ram.data());
    set(kSetMemTable, &table, sizeof table, ram.fd());
}

void VhostUser::set_ring(uint32_t index, const ring::Layout& layout) {
    const State size{index, layout.size};
    const State base{index, 0};
    const State enable{index, 1};
    const Addresses addresses{index, 0, layout.desc, layout.used, layout.avail, 0};
    set(kSetVringNum, &size, sizeof size);
    set(kSetVringBase, &base, sizeof base);
    set(kSetVringAddr, &addresses, sizeof addresses);
    set_number(kSetVringCall, index | kNoFd);
    set_number(kSetVringKick, index | kNoFd);
    set(kSetVringEnable, &enable, sizeof enable);
}

unsigned VhostUser::misses() {
    std::array<char, sizeof(Header) + sizeof(IotlbMessage)> message;
    unsigned count = 0;
    while (::recv(back_.get(), message.data(), message.size(), MSG_DONTWAIT) > 0)
        ++count;
    return count;
}

uint64_t VhostUser::get(uint32_t request) {
    send(request, 0, nullptr, 0, -1);
    return reply(request);
}

void VhostUser::set(uint32_t request, const void* payload, uint32_t bytes, int fd) {
    send(request, kNeedReply, payload, bytes, fd);
    require(reply(request) == 0, "rte_vhost refused a message");
}

void VhostUser::send(
    uint32_t request, uint32_t flags, const void* payload, uint32_t bytes, int fd
) {
    std::vector<char> message(sizeof(Header) + bytes);
    const Header header{request, kVersion1 | flags, bytes};
    std::memcpy(message.data(), &header, sizeof header);
    if (bytes != 0)
        std::memcpy(message.data() + sizeof header, payload, bytes);
    iovec part{message.data(), message.size()};
    msghdr sent{};
    sent.msg_iov = &part;
    sent.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> space{};
    if (fd >= 0) {
        sent.msg_control = space.data();
        sent.msg_controllen = space.size();
        cmsghdr* control = CMSG_FIRSTHDR(&sent);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(control), &fd, sizeof fd);
    }
    require(
        ::sendmsg(socket_.get(), &sent, MSG_NOSIGNAL) == static_cast<ssize_t>(message.size()),
        "sending to rte_vhost"
    );
}

uint64_t VhostUser::reply(uint32_t request) {
    std::array<char, sizeof(Header) + sizeof(uint64_t)> bytes;
    require(
        ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_WAITALL) ==
            static_cast<ssize_t>(bytes.size()),
        "no answer from rte_vhost"
    );
    Header header;
    uint64_t value = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    std::memcpy(&value, bytes.data() + sizeof header, sizeof value);
    require(header.request == request, "rte_vhost answered another message");
    return value;
}

}  // namespace vduse::bench
