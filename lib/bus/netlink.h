// SPDX-License-Identifier: BSD-3-Clause

// Netlink requests to the kernel: composed, sent, and waited for until they are acknowledged.
//
// The kernel works while we are inside `transact`; what it has to say about a failure comes with
// the acknowledgement ("extended ack") and goes into the Error. One thread for each socket.
#pragma once

#include <libmnl/libmnl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "vduse/result.h"

namespace vduse::bus::netlink {

/// A request while it is composed: the family's own header first, then attributes.
class Request {
  public:
    /// `flags` besides NLM_F_REQUEST and NLM_F_ACK.
    explicit Request(uint16_t type, uint16_t flags = 0);
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    template <class Header>
    Header& extra_header() {
        void* const place = mnl_nlmsg_put_extra_header(header_, sizeof(Header));
        return *static_cast<Header*>(place);
    }
    void put(uint16_t attribute, const std::string& text);
    void put(uint16_t attribute, uint32_t number);
    [[nodiscard]] const nlmsghdr* header() const { return header_; }

  private:
    alignas(nlmsghdr) std::array<std::byte, 1024> buffer_{};
    nlmsghdr* header_;
};

class Socket {
  public:
    /// `protocol`: NETLINK_*. The socket belongs to the network namespace of the calling thread.
    static Result<Socket> open(int protocol);

    using Visit = std::function<void(const nlmsghdr*)>;
    /// Sends `request` and waits for its end. `answer` sees what comes before. The error says
    /// `what` was being done.
    Result<void> transact(const Request& request, const std::string& what, const Visit& answer);

  private:
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    explicit Socket(mnl_socket* socket) : socket_(socket) {}
    std::unique_ptr<mnl_socket, Close> socket_;
};

/// Calls `visit` with each attribute after the first `offset` bytes of the payload.
void for_each_attribute(
    const nlmsghdr* header, size_t offset, const std::function<void(const nlattr*)>& visit
);

}  // namespace vduse::bus::netlink
