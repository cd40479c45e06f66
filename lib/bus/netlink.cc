// SPDX-License-Identifier: BSD-3-Clause

#include "bus/netlink.h"

#include <sys/socket.h>

#include <cerrno>

#include "base/rights.h"

namespace vduse::bus::netlink {
namespace {

const char* as_bytes(const void* place) {
    return static_cast<const char*>(place);
}

/// The kernel's message about a failure, with ": " in front, or "".
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
    return with_rights(Error{-error->error, what + extended_ack(header)}, kNeedsNetAdmin);
}

}  // namespace

Request::Request(uint16_t type, uint16_t flags) : header_(mnl_nlmsg_put_header(buffer_.data())) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    header_->nlmsg_seq = 1;
}

void Request::put(uint16_t attribute, const std::string& text) {
    mnl_attr_put_strz(header_, attribute, text.c_str());
}

void Request::put(uint16_t attribute, uint32_t number) {
    mnl_attr_put_u32(header_, attribute, number);
}

Result<Socket> Socket::open(int protocol) {
    Socket socket(mnl_socket_open2(protocol, SOCK_CLOEXEC));
    if (socket.socket_ == nullptr ||
        mnl_socket_bind(socket.socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0)
        return Error{errno, "netlink socket"};
    int on = 1;  // a kernel without the option only sends no message
    (void)mnl_socket_setsockopt(socket.socket_.get(), NETLINK_EXT_ACK, &on, sizeof on);
    return socket;
}

Result<void> Socket::transact(
    const Request& request, const std::string& what, const Visit& answer
) {
    if (mnl_socket_sendto(socket_.get(), request.header(), request.header()->nlmsg_len) < 0)
        return Error{errno, what};
    alignas(nlmsghdr) std::array<std::byte, 8192> buffer{};
    for (;;) {
        const ssize_t bytes = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
        if (bytes < 0)
            return Error{errno, what};
        const void* place = buffer.data();
        int rest = static_cast<int>(bytes);
        const auto* header = static_cast<const nlmsghdr*>(place);
        for (; mnl_nlmsg_ok(header, rest); header = mnl_nlmsg_next(header, &rest)) {
            if (header->nlmsg_type == NLMSG_ERROR)
                return outcome(header, what);
            if (header->nlmsg_type == NLMSG_DONE)  // the end of a list
                return {};
            answer(header);
        }
    }
}

void for_each_attribute(
    const nlmsghdr* header, size_t offset, const std::function<void(const nlattr*)>& visit
) {
    const void* const first = mnl_nlmsg_get_payload_offset(header, offset);
    const char* const end = as_bytes(mnl_nlmsg_get_payload_tail(header));
    const auto* attribute = static_cast<const nlattr*>(first);
    while (mnl_attr_ok(attribute, static_cast<int>(end - as_bytes(attribute)))) {
        visit(attribute);
        attribute = mnl_attr_next(attribute);
    }
}

}  // namespace vduse::bus::netlink
