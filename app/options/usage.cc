// SPDX-License-Identifier: BSD-3-Clause

// What -h prints.
#include "app/options/options.h"

namespace vduse::app {

const char* const kUsage =
    R"(usage: vduse-dp [EAL options] -- [options]

  --device NAME[,key=value...]  a virtio-net device, /dev/vduse/NAME; repeatable
      queues=N                  queue pairs, 1 to 128 (default 1)
      queue_size=N              entries of a data queue, a power of two, 2 to 32768; default:
                                1024, or fewer if a netdev's bounce memory has no room
      bounce=SIZE               size of the kernel's bounce memory, used by a netdev of this
                                host, 1M to 1G; default: as the rings need
      mac=XX:XX:XX:XX:XX:XX     QEMU's mac= must be the same; default: the driver's
                                own, with attach=virtio one derived from the name
      mtu=N                     68 to 9702 (default 1500)
      speed=N                   Mbit/s reported to the driver (default 10000)
      csum=0|1                  checksum offload in both directions (default 1); 0 allows XDP
                                on a netdev whose kernel refuses the control queue
      tso=0|1                   TCP segmentation offload, up to 64 KiB; needs csum (default 1)
      profile=migratable|full   only what QEMU can migrate (default), or everything
      ctrl_vq=auto|on|off       control queue; auto (default): if the kernel accepts it
      groups=together|per-pair  all data queues in one group (default), or one for each pair
      as=N                      address spaces, 1 to 129 (default: one for each group,
                                but 2 at least; with attach=virtio 1)
      persist=0|1               1: the device stays when vduse-dp exits; the next vduse-dp with
                                the same options adopts it
      attach=none|virtio|vhost  put it on the vDPA bus, for a netdev of this host or for QEMU;
                                none (default) prints the commands to type
  --port ETHDEV[,key=value...]  a DPDK port of the EAL options, by its name; repeatable
      queues_of_port=N          rx queues, and as many tx queues, 1 to 1024 (default: as many as
                                the device with the most that it is joined with); at most what
                                its driver supports
  --patch A:B                   join two devices or ports; a device's link follows the other side
  --reflect A                   send every frame back with its MAC addresses swapped
  --bridge A,B,...[,age=N]      a learning switch between devices and ports; MAC
                                addresses age out after N seconds (default 300)
  --group-lcore NAME:G=LCORE    the worker lcore for data group G of a device; else those with
                                the least to do, on the NUMA node of the port if possible
  --config FILE                 read options from an INI file as well: sections [device NAME] and
                                [port NAME] with the keys above, [patch] (a=, b=), [reflect]
                                (endpoint=), [bridge] (members=, age=), [group-lcore] (device=,
                                group=, lcore=), [vduse-dp] (stats=, idle_us=, gro=)
  --stats SECONDS               print counters every SECONDS, not only at exit
  --idle-us N                   an lcore that found nothing to do for N microseconds sleeps until
                                a frame arrives; 0 (default): it always polls
  --gro 0|1                     TCP segments that a port receives in one burst are merged for a
                                guest that takes large frames (default 1)
  --take-over                   take over the devices of a running vduse-dp, which then exits;
                                their drivers see a short pause. The EAL needs a --file-prefix
                                of its own, or --in-memory in both
  -h, --help                    this text
  -V, --version                 versions of vduse-dp and DPDK

The main lcore runs the control queues and answers the kernel, the others move the frames.

  vduse-dp -l 0-1 --vdev net_tap0 -- --device vd0,attach=virtio --port net_tap0 \
           --patch vd0:net_tap0
)";

}  // namespace vduse::app
