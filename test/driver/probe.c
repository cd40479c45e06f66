/* SPDX-License-Identifier: BSD-3-Clause */

/* A DPDK program that is not part of vduse-dp. It asks EAL to probe devices one after another and
 * prints each result: `probe EAL-ARGUMENTS -- net_vduse0,queues=2 ...`. It is in C because most DPDK
 * programs are. devtools/check-driver builds it twice: with shared DPDK, and with DPDK and the PMD
 * linked statically. */
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
