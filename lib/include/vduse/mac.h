// SPDX-License-Identifier: BSD-3-Clause

// An Ethernet address, in network byte order.
#pragma once

#include <array>
#include <cstdint>

namespace vduse {

using MacAddress = std::array<uint8_t, 6>;

}  // namespace vduse
