// SPDX-License-Identifier: BSD-3-Clause

// translate: compares lookup tables for an address space. (Google Benchmark.)
//
//   translate   lib/memory/table.h through its Translator, last hit included: the cost in a burst
//   table       its Table alone
//   branchless, halving, eytzinger, buckets   other tables (tables.h)
//   list        DPDK's table
//
// 1 to 512 regions of 2 MiB with holes between them. Sequential: eight lookups in each region, like
// a driver that fills its buffers in order. Random: a random region each time. The number after the
// last slash is the number of regions. One iteration is 4096 lookups. The answers of each table are
// first compared with those of the list.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <vector>

#include "bench/translate/tables.h"
#include "memory/table.h"

namespace vduse::bench {
namespace {

constexpr uint64_t kRegionBytes = uint64_t{2} << 20;
constexpr size_t kLookups = 4096;
constexpr uint32_t kBytes = 1530;

class Heap final : public memory::TableAllocator {
  public:
    void* allocate(size_t bytes, int /*node*/) override {
        return ::operator new(bytes, std::align_val_t(64));
    }
    void release(void* memory, size_t /*bytes*/) override {
        ::operator delete(memory, std::align_val_t(64));
    }
};

/// The table in use, alone.
class InUse {
  public:
    explicit InUse(std::span<const Region> regions)
        : table_(memory::Table::build(regions, heap_, -1)) {}
    [[nodiscard]] const Region* find(Iova iova) const noexcept { return table_->find(iova); }
    [[nodiscard]] const memory::Table* table() const noexcept { return table_.get(); }

  private:
    Heap heap_;
    memory::Table::Pointer table_;
};

std::vector<Region> make_regions(size_t count) {
    std::vector<Region> regions;
    for (size_t i = 0; i < count; ++i) {
        const Iova first = 0x7f00'0000'0000 + i * 2 * kRegionBytes;
        // Host addresses are computed, never touched.
        regions.push_back(
            {first, first + (kRegionBytes - 1), reinterpret_cast<std::byte*>(first), 3}
        );
    }
    return regions;
}

enum class Order : uint8_t { sequential, random };

std::vector<Iova> make_addresses(std::span<const Region> regions, Order order) {
    std::mt19937_64 random(1);
    std::vector<Iova> addresses(kLookups);
    for (size_t i = 0; i < kLookups; ++i) {
        const size_t region = order == Order::random ? random() : i / 8;
        addresses[i] = regions[region % regions.size()].first + random() % (kRegionBytes - kBytes);
    }
    return addresses;
}

/// Exits if `table` finds other regions than the list.
template <class Candidate>
void check(const Candidate& table, std::span<const Region> regions) {
    const LinearList list(regions);
    const auto first_of = [](const Region* region) {
        return region == nullptr ? 0 : region->first;
    };
    for (const Region& region : regions)
        for (const Iova iova :
             {region.first - 1, region.first, region.first + kBytes, region.last, region.last + 1})
            if (first_of(table.find(iova)) != first_of(list.find(iova))) {
                std::fprintf(stderr, "translate: a table finds another region than the list\n");
                std::exit(1);
            }
}

template <class Candidate, Order kOrder>
void find(benchmark::State& state) {
    const auto regions = make_regions(static_cast<size_t>(state.range(0)));
    const auto addresses = make_addresses(regions, kOrder);
    const Candidate table(regions);
    check(table, regions);
    for (auto _ : state)
        for (const Iova iova : addresses)
            benchmark::DoNotOptimize(table.find(iova));
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kLookups));
}

template <Order kOrder>
void translate(benchmark::State& state) {
    const auto regions = make_regions(static_cast<size_t>(state.range(0)));
    const auto addresses = make_addresses(regions, kOrder);
    const InUse in_use(regions);
    check(in_use, regions);
    memory::Translator translator;
    translator.set(in_use.table());
    for (auto _ : state)
        for (const Iova iova : addresses) {
            memory::Segment segment;
            if (translator.translate(iova, kBytes, memory::Access::read, segment) !=
                memory::Fault::none)
                state.SkipWithError("an address is not mapped");
            benchmark::DoNotOptimize(segment);
        }
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kLookups));
}

void sizes(benchmark::internal::Benchmark* benchmark) {
    benchmark->RangeMultiplier(8)->Range(1, 512);
}
BENCHMARK(translate<Order::sequential>)->Name("translate/sequential")->Apply(sizes);
BENCHMARK(translate<Order::random>)->Name("translate/random")->Apply(sizes);
BENCHMARK(find<InUse, Order::sequential>)->Name("table/sequential")->Apply(sizes);
BENCHMARK(find<InUse, Order::random>)->Name("table/random")->Apply(sizes);
BENCHMARK(find<Branchless, Order::sequential>)->Name("branchless/sequential")->Apply(sizes);
BENCHMARK(find<Branchless, Order::random>)->Name("branchless/random")->Apply(sizes);
BENCHMARK(find<Halving, Order::sequential>)->Name("halving/sequential")->Apply(sizes);
BENCHMARK(find<Halving, Order::random>)->Name("halving/random")->Apply(sizes);
BENCHMARK(find<Eytzinger, Order::sequential>)->Name("eytzinger/sequential")->Apply(sizes);
BENCHMARK(find<Eytzinger, Order::random>)->Name("eytzinger/random")->Apply(sizes);
BENCHMARK(find<Buckets, Order::sequential>)->Name("buckets/sequential")->Apply(sizes);
BENCHMARK(find<Buckets, Order::random>)->Name("buckets/random")->Apply(sizes);
BENCHMARK(find<LinearList, Order::sequential>)->Name("list/sequential")->Apply(sizes);
BENCHMARK(find<LinearList, Order::random>)->Name("list/random")->Apply(sizes);

}  // namespace
}  // namespace vduse::bench

BENCHMARK_MAIN();
