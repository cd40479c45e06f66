// SPDX-License-Identifier: BSD-3-Clause

// Netlink requests to the kernel: composes them, sends them, and waits for the acknowledgement.
//
// The kernel executes a request inside `transact`. Its message about a failure comes with the
// acknowledgement ("extended ack") and is put into the Error.
//
// Threads: one for each socket.
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

/// A request that is being composed: first the family's own header, then attributes.
class Request {
  public:
    /// `flags`: in addition to NLM_F_REQUEST and NLM_F_ACK.
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
    /// Sends `request` and waits for its acknowledgement. `answer` is called with each message that
    /// comes before. `what` names the operation in errors.
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
