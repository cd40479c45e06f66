/* SPDX-License-Identifier: BSD-3-Clause */

/* A program with a DPDK of its own: tells EAL to probe devices one after another and prints what came of each.
 * `probe EAL-ARGUMENTS -- net_vduse0,queues=2 ...`. devtools/check-driver builds it in C, as most such programs are,
 * once with shared DPDK and once with all of DPDK and the driver inside. */
#include <rte_dev.h>
#include <rte_eal.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
    const int used = rte_eal_init(argc, argv);
    if (used < 0)
        return 1;
    for (int i = used + 1; i < argc; i++) {
        const int result = rte_dev_probe(argv[i]);
        printf("probe %s: %s\n", argv[i], result == 0 ? "ok" : strerror(-result));
        fflush(stdout);
    }
    return rte_eal_cleanup() == 0 ? 0 : 1;
}
