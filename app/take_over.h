// --take-over: the devices of a running vduse-dp come to this one, for whose drivers that is a
// pause as after a crash, but a shorter one, since the EAL of this process is up already.
//
//     this process                              the process that has the devices
//     EAL starts, without --vdev                serves
//     could it go on with each device?          serves
//     SIGUSR2  ------------------------------>  lets go of the devices, then of its ports; ends
//     waits for the journals, and where it
//     has ports, for that end
//     --vdev, devices, ports; serves
//
// Nothing is asked of a process that holds another device too, which would be nobody's then.
#pragma once

#include <string>
#include <vector>

#include "options.h"

namespace vduse::app {

/// Returns when the devices are free. An error leaves them where they are.
Result<void> take_over(const Options& options);

/// Takes `--vdev ARGS` and `--vdev=ARGS` out of the words for the EAL: what one process has, a
/// second one cannot probe. Returns the ARGS.
std::vector<std::string> withhold_vdevs(std::vector<char*>& eal);

}  // namespace vduse::app
