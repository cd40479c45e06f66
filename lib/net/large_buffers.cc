// SPDX-License-Identifier: BSD-3-Clause

// How it works: an element of the mempool is DPDK's shared info of an external buffer, followed by
// the buffer. The pool's private data counts its users: the owner, and each buffer that is in use.
// The last user frees the pool.
#include "vduse/large_buffers.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <new>

namespace vduse {
namespace {

using Users = std::atomic<uint32_t>;

constexpr uint32_t kBuffer = RTE_CACHE_LINE_ROUNDUP(sizeof(rte_mbuf_ext_shared_info));

void release(rte_mempool* pool) {
    auto* const users = static_cast<Users*>(rte_mempool_get_priv(pool));
    if (users->fetch_sub(1, std::memory_order_acq_rel) == 1)
        rte_mempool_free(pool);
}

void give_back(void* /*buffer*/, void* element) {
    rte_mempool* const pool = rte_mempool_from_obj(element);
    rte_mempool_put(pool, element);
    release(pool);
}

}  // namespace

Result<std::unique_ptr<LargeBuffers>> LargeBuffers::create(
    const std::string& name, uint32_t count, int node
) {
    rte_mempool* const pool = rte_mempool_create(
        name.c_str(),
        count,
        kBuffer + kLongest,
        0,
        sizeof(Users),
        nullptr,
        nullptr,
        nullptr,
        nullptr,
        node,
        0
    );
    if (pool == nullptr)
        return Error{
            rte_errno != 0 ? rte_errno : ENOMEM,
            "memory for " + std::to_string(count) + " buffers of 64 KiB"};
    new (rte_mempool_get_priv(pool)) Users(1);
    return std::unique_ptr<LargeBuffers>(new LargeBuffers(pool));
}

LargeBuffers::~LargeBuffers() {
    release(pool_);
}

bool LargeBuffers::attach(rte_mbuf& mbuf, uint32_t bytes) noexcept {
    void* element = nullptr;
    if (!RTE_MBUF_DIRECT(&mbuf) || bytes > kLongest || rte_mempool_get(pool_, &element) != 0)
        return false;
    static_cast<Users*>(rte_mempool_get_priv(pool_))->fetch_add(1, std::memory_order_relaxed);
    auto* const shared = static_cast<rte_mbuf_ext_shared_info*>(element);
    shared->free_cb = give_back;
    shared->fcb_opaque = element;
    rte_mbuf_ext_refcnt_set(shared, 1);
    rte_pktmbuf_attach_extbuf(
        &mbuf,
        static_cast<std::byte*>(element) + kBuffer,
        rte_mempool_virt2iova(element) + kBuffer,
        static_cast<uint16_t>(kLongest),
        shared
    );
    mbuf.data_off =
        static_cast<uint16_t>(std::min<uint32_t>(RTE_PKTMBUF_HEADROOM, kLongest - bytes));
    return true;
}

}  // namespace vduse
