// The control queue (virtio 1.3, 5.1.6.5): commands of the driver, executed on the control thread.
//
// A chain is {class, command, data...} readable and one ack byte writable. The readable part is
// copied once into a buffer of fixed size; every length is checked against the row of the command
// before its handler runs, so no handler can forget to. A handler edits a copy of the ControlState;
// the caller publishes it to the data threads and only then is the command acknowledged.
//
// What a hostile driver could try: lengths that lie, tables with 2^32 entries, commands of
// gigabytes, no room for the ack, commands by the thousand. Everything that is not exactly right is
// answered VIRTIO_NET_ERR and changes nothing; a chain without room for the ack goes back with
// length 0; `serve` works through one burst and returns, so that the kernel's messages are answered
// in between.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>

#include "net/counters.h"
#include "net/filter.h"
#include "ring/split.h"
#include "vduse/mac.h"

namespace vduse::net {

/// What the driver has programmed; value-initialised it is the state after reset.
struct ControlState {
    Filter filter;
    uint16_t active_pairs = 1;
};

struct ControlCounters {
    uint64_t commands = 0;
    uint64_t refused = 0;
};

class ControlQueue {
  public:
    /// `publish` makes a new state visible to the data threads before it returns; false: it could
    /// not, and the command is answered VIRTIO_NET_ERR.
    using Publish = std::function<bool(const ControlState&)>;

    /// `max_pairs`: what MQ_VQ_PAIRS_SET may ask for.
    ControlQueue(uint16_t max_pairs, Publish publish)
        : max_pairs_(max_pairs), publish_(std::move(publish)) {}

    /// Back to the state after reset, with what the driver negotiated. Publishes nothing.
    void reset(uint64_t features, const MacAddress& mac);

    /// As another process left it. Publishes nothing.
    void restore(uint64_t features, const ControlState& state) {
        features_ = features;
        state_ = state;
    }

    /// Executes up to a burst of commands. Returns how many chains were completed.
    uint16_t serve(ring::SplitRing& ring);

    /// Executes one command: what the readable part of a chain held. true: VIRTIO_NET_OK.
    bool execute(std::span<const uint8_t> command);

    [[nodiscard]] const ControlState& state() const noexcept { return state_; }
    [[nodiscard]] const ControlCounters& counters() const noexcept { return counters_; }

  private:
    uint16_t max_pairs_;
    Publish publish_;
    uint64_t features_ = 0;
    ControlState state_;
    ControlCounters counters_;
};

}  // namespace vduse::net
