// SPDX-License-Identifier: BSD-3-Clause

// --config FILE: command line options in an INI file.
//
//     [vduse-dp]             [device vd0]       [port net_tap0]     [patch]       [bridge]
//     stats=5                mtu=9000           queues_of_port=2    a=vd0         members=vd1,p0
//     idle_us=100            attach=virtio                          b=net_tap0    age=60
//                                               [reflect]
//                                               endpoint=vd2
//
// A section may be repeated as often as its option. It becomes the words of that option, which the
// command line parser reads (options.cc): the same keys, values and error messages. Only what is
// specific to INI files is checked here: sections, and keys of sections that are neither devices
// nor ports. Comments begin with ';'. FILE may be a pipe. A file that cannot be read to its end, is
// larger than 1 MiB or has a NUL byte is an error, and nothing starts.
//
// Called by main through parse_options, before the EAL starts.
#pragma once

#include <string>
#include <vector>

#include "vduse/result.h"

namespace vduse::app {

/// Returns words of the command line. The error's `what` is a line to print, without the file name.
Result<std::vector<std::string>> read_config(const std::string& file);

}  // namespace vduse::app
