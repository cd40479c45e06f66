// SPDX-License-Identifier: BSD-3-Clause

// Log lines of the driver: types pmd.net.vduse.init (probing, devargs) and pmd.net.vduse.driver
// (everything later). Never in the datapath. Nothing above INFO in normal operation: OVS treats a
// warning as a failure.
#pragma once

#include <cstdint>

#include "base/log.h"

namespace vduse::pmd {

enum class Topic : uint8_t { init, driver };

[[gnu::format(printf, 3, 4)]] void log(Topic topic, Severity severity, const char* format, ...);

}  // namespace vduse::pmd
