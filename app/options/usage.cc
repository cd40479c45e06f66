// SPDX-License-Identifier: BSD-3-Clause

// What -h prints.
#include "app/options/options.h"

namespace vduse::app {

const char* const kUsage =
    R"(usage: vduse-dp [EAL options] -- [options]

  --device NAME[,key=value...]  a virtio-net device, /dev/vduse/NAME; repeatable
      queues=N                  queue pairs, 1 to 128 (default 1)
      queue_size=N              entries of a data queue, a power of two, 2 to 32768; default:
                                1024, or fewer where a netdev's bounce memory has no room
      bounce=SIZE               of the kernel's bounce memory, through which a netdev of this
                                host sends and receives, 1M to 1G; default: as the rings need
      mac=XX:XX:XX:XX:XX:XX     QEMU's mac= must be the same; default: the driver's
                                own, with attach=virtio one derived from the name
      mtu=N                     68 to 9702 (default 1500)
      speed=N                   Mbit/s that the driver is told (default 10000)
      csum=0|1                  checksums may be left to the other side (default 1); 0 on a
                                kernel without a control queue: the netdev takes XDP
      tso=0|1                   and, with csum, TCP segments, in frames of up to 64 KiB (default 1)
      profile=migratable|full   only what QEMU can migrate (default), or everything
      ctrl_vq=auto|on|off       control queue; auto (default): where the kernel accepts it
      groups=together|per-pair  all data queues in one group (default), or one for each pair
      as=N                      address spaces, 1 to 129 (default: one for each group,
                                but 2 at least; with attach=virtio 1)
      persist=0|1               1: the device stays when vduse-dp ends, and the next one with
                                the same options goes on with it
      attach=none|virtio|vhost  put it on the vDPA bus, for a netdev of this host or for QEMU;
                                none (default) prints the commands to type
  --port ETHDEV[,key=value...]  a DPDK port of the EAL options, by its name; repeatable
      queues_of_port=N          rx queues, and as many tx queues, 1 to 1024 (default: as many as
                                the devices have that it is joined with); never more than its
                                driver has
  --patch A:B                   join two devices or ports; a device's link follows the other side
  --reflect A                   send every frame back with its MAC addresses swapped
  --bridge A,B,...[,age=N]      a learning switch between devices and ports; stations that
                                are silent for N seconds (default 300) are forgotten
  --group-lcore NAME:G=LCORE    the worker lcore for data group G of a device; else those with
                                the least to do, on the NUMA node of the port if possible
  --config FILE                 read options from an INI file as well: sections [device NAME] and
                                [port NAME] with the keys above, [patch] (a=, b=), [reflect]
                                (endpoint=), [bridge] (members=, age=), [group-lcore] (device=,
                                group=, lcore=), [vduse-dp] (stats=, idle_us=, gro=)
  --stats SECONDS               print counters every SECONDS, not only at exit
  --idle-us N                   an lcore that found nothing to do for N microseconds sleeps until
                                something comes; 0 (default): it polls for ever
  --gro 0|1                     TCP segments that a port receives in one burst are merged for a
                                guest that takes large frames (default 1)
  --take-over                   take the devices over from the vduse-dp that has them, which ends;
                                for their drivers that is a short pause. The EAL needs a
                                --file-prefix of its own, or --in-memory in both
  -h, --help                    this text
  -V, --version                 versions of vduse-dp and DPDK

The main lcore runs the control queues and answers the kernel, the others move the frames.

  vduse-dp -l 0-1 --vdev net_tap0 -- --device vd0,attach=virtio --port net_tap0 \
           --patch vd0:net_tap0
)";

}  // namespace vduse::app
