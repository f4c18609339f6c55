#pragma once

// Measurements of numbered regions on the device: area, box, centroid, and mean, maximum and top-tenth mean of values.
// Integers throughout until the last step, so the order of threads does not show.

#include "core/cuda_support.cuh"
#include "core/exact_sum.hpp"
#include "core/region_statistics.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// One entry per region 0 .. capacity - 1, as they come to the host.
struct DeviceRegion {
  unsigned long long area, sum_y, sum_x;
  std::int32_t y0, x0, y1, x1;
  RegionValues values;
};

constexpr int kSelectBins = 256;

struct DeviceRegionTable {
  std::int32_t capacity = 0;
  DeviceRegion* regions = nullptr;         ///< [capacity]
  unsigned long long* sums = nullptr;      ///< [capacity, kSumGroups] (Note [Exact sums]), of all values
  unsigned long long* top_sums = nullptr;  ///< the same, of the values above the threshold
  std::uint32_t* infinities = nullptr;     ///< [capacity] bits: +inf, -inf, +inf above the threshold
  std::uint32_t* greatest = nullptr;       ///< [capacity] ordered_key of the maximum
  std::uint32_t* threshold = nullptr;      ///< [capacity] ordered_key of the least of the highest tenth, once found
  std::int64_t* missing = nullptr;         ///< [capacity] how many values equal to it belong to them
  std::uint32_t* histogram = nullptr;      ///< [capacity, kSelectBins]
};

/// regions  where the results go, or null: they are taken from the workspace too
/// values   whether there are any
inline DeviceRegionTable take_regions(Workspace& workspace, std::int32_t capacity, bool values,
                                      DeviceRegion* regions = nullptr) {
  DeviceRegionTable table;
  table.capacity = capacity;
  table.regions = regions != nullptr ? regions : workspace.take<DeviceRegion>(capacity);
  if (!values) return table;
  table.sums = workspace.take<unsigned long long>(std::int64_t{capacity} * kSumGroups);
  table.top_sums = workspace.take<unsigned long long>(std::int64_t{capacity} * kSumGroups);
  table.infinities = workspace.take<std::uint32_t>(capacity);
  table.greatest = workspace.take<std::uint32_t>(capacity);
  table.threshold = workspace.take<std::uint32_t>(capacity);
  table.missing = workspace.take<std::int64_t>(capacity);
  table.histogram = workspace.take<std::uint32_t>(std::int64_t{capacity} * kSelectBins);
  return table;
}

namespace regions {

/// A count that a warp adds up while its key stays the same: in a large region nearly always.
template <typename Count>
struct Running {
  std::int64_t key = -1;
  Count count = 0;

  /// One (key, count) for each lane, key < 0: none. All lanes take part.
  __device__ void add(std::int64_t next, Count own, Count* table) {
    // Lanes without a key do not stand in the way: the warp agrees if all others do.
    const unsigned having = __ballot_sync(kAllLanes, next >= 0);
    if (having == 0) return;
    const std::int64_t first = __shfl_sync(kAllLanes, next, __ffs(static_cast<int>(having)) - 1);
    if (__all_sync(kAllLanes, next < 0 || next == first)) {
      if (key != first) flush(table);
      key = first;
      count += next >= 0 ? own : 0;
      return;
    }
    if (next >= 0) atomicAdd(table + next, own);
  }
  __device__ void flush(Count* table) {
    if (key >= 0) {
      for (int step = 16; step > 0; step /= 2) count += __shfl_xor_sync(kAllLanes, count, step);
      if ((threadIdx.x & 31) == 0 && count != 0) atomicAdd(table + key, count);
    }
    key = -1;
    count = 0;
  }
};

/// Sum of the numbers of the set bits.
__device__ inline int sum_of_bits(unsigned bits) {
  return __popc(bits & 0xaaaaaaaaU) + 2 * __popc(bits & 0xccccccccU) + 4 * __popc(bits & 0xf0f0f0f0U) +
         8 * __popc(bits & 0xff00ff00U) + 16 * __popc(bits & 0xffff0000U);
}

/// Calls visit(y, x, region) with all lanes for each word of 32 pixels that has any of a region below `capacity`;
/// region is -1 for lanes outside one. A warp takes 32 words.
template <typename Source, typename Visit>
__device__ inline void for_each_word(const Source& source, std::int32_t capacity, const Visit& visit) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  const std::int64_t first = thread_number() / 32 * 32;
  const std::int64_t own = first + lane;
  const bool busy = own < source.word_count() && source.may_hold(own);
  for (unsigned rest = __ballot_sync(kAllLanes, busy); rest; rest &= rest - 1) {
    const std::int64_t at = first + __ffs(static_cast<int>(rest)) - 1;
    const auto y = static_cast<std::int32_t>(at / source.row_words());
    const auto x = static_cast<std::int32_t>(at % source.row_words()) * 32 + lane;
    std::int32_t region = source.region(at, y, x);
    if (region >= capacity) region = -1;
    if (__any_sync(kAllLanes, region >= 0)) visit(y, x, region);
  }
}

template <typename Value>
__device__ inline float clean(Value value) {
  return value == value ? value : 0.0F;  // NaN counts as 0
}

/// A warp a region, so that what a warp writes lies side by side.
template <typename = void>  // so that each file that includes this may hold it
__global__ void clear_regions(DeviceRegionTable table) {
  const std::int64_t at = thread_number() / 32;
  if (at >= table.capacity) return;
  const int lane = static_cast<int>(threadIdx.x & 31);
  constexpr std::int32_t kFar = 0x7fffffff;
  if (lane == 0) table.regions[at] = {0, 0, 0, kFar, kFar, 0, 0, {}};
  if (table.sums == nullptr) return;
  if (lane == 0) table.infinities[at] = table.greatest[at] = 0;
  for (int k = lane; k < kSumGroups; k += 32) table.sums[at * kSumGroups + k] = table.top_sums[at * kSumGroups + k] = 0;
  for (int k = lane; k < kSelectBins; k += 32) table.histogram[at * kSelectBins + k] = 0;
}

template <typename Source>
__global__ void measure(Source source, TensorView<const float, 2> values, DeviceRegionTable table) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  Running<unsigned long long> sums;
  for_each_word(source, table.capacity, [&](std::int32_t y, std::int32_t x, std::int32_t region) {
    const unsigned peers = __match_any_sync(kAllLanes, region);
    if (region >= 0 && lane == __ffs(static_cast<int>(peers)) - 1) {
      DeviceRegion& r = table.regions[region];
      const auto count = static_cast<unsigned long long>(__popc(peers));
      const std::int32_t word_x = x - lane;
      atomicAdd(&r.area, count);
      atomicAdd(&r.sum_y, count * static_cast<unsigned long long>(y));
      atomicAdd(&r.sum_x, count * static_cast<unsigned long long>(word_x) + sum_of_bits(peers));
      if (load_fresh(&r.y0) > y) atomicMin(&r.y0, y);
      if (load_fresh(&r.y1) < y + 1) atomicMax(&r.y1, y + 1);
      if (load_fresh(&r.x0) > x) atomicMin(&r.x0, x);
      const std::int32_t end = word_x + 32 - __clz(static_cast<int>(peers));
      if (load_fresh(&r.x1) < end) atomicMax(&r.x1, end);
    }
    if (table.sums == nullptr) return;
    std::int64_t key = -1;
    unsigned long long whole = 0;
    if (region >= 0) {
      const std::uint32_t bits = __float_as_uint(clean(values.data[y * values.strides[0] + x * values.strides[1]]));
      const std::uint32_t ordered = ordered_key(bits);
      if (load_fresh(table.greatest + region) < ordered) atomicMax(table.greatest + region, ordered);
      if ((bits & 0x7fffffffU) == 0x7f800000U) {
        atomicOr(table.infinities + region, bits >> 31 ? 2U : 1U);
      } else {
        const ExactTerm term = exact_term(bits);
        key = std::int64_t{region} * kSumGroups + term.group;
        whole = static_cast<unsigned long long>(term.whole);
      }
    }
    sums.add(key, whole, table.sums);
  });
  if (table.sums != nullptr) sums.flush(table.sums);
}

/// Counts, of the values whose key agrees with the threshold in the bits above `shift` + 8, the next eight bits.
template <typename Source>
__global__ void count_digit(Source source, TensorView<const float, 2> values, DeviceRegionTable table, int shift) {
  Running<std::uint32_t> counts;
  for_each_word(source, table.capacity, [&](std::int32_t y, std::int32_t x, std::int32_t region) {
    std::int64_t key = -1;
    if (region >= 0) {
      const float value = clean(values.data[y * values.strides[0] + x * values.strides[1]]);
      const std::uint32_t ordered = ordered_key(__float_as_uint(value));
      const bool agrees = shift == 24 || (ordered ^ table.threshold[region]) >> (shift + 8) == 0;
      if (agrees) key = std::int64_t{region} * kSelectBins + (ordered >> shift & 0xffU);
    }
    counts.add(key, 1U, table.histogram);
  });
  counts.flush(table.histogram);
}

/// Finds the digit that the threshold has, and clears the counts for the next one. A warp a region, a lane eight
/// counts: the lane in which the counts from the greatest on reach what is missing looks for the digit among its own.
template <typename = void>
__global__ void choose_digit(DeviceRegionTable table, int shift) {
  const std::int64_t at = thread_number() / 32;
  if (at >= table.capacity || table.regions[at].area == 0) return;
  constexpr int kOwn = kSelectBins / 32;
  const int lane = static_cast<int>(threadIdx.x & 31);
  std::uint32_t* counts = table.histogram + at * kSelectBins + kOwn * lane;
  const std::int64_t missing =
      shift == 24 ? static_cast<std::int64_t>((table.regions[at].area + 9) / 10) : table.missing[at];
  std::int64_t own = 0;
  for (int k = 0; k < kOwn; ++k) own += counts[k];
  std::int64_t from_here = own;  // and all greater ones
  for (int step = 1; step < 32; step *= 2) {
    const std::int64_t other = __shfl_down_sync(kAllLanes, from_here, static_cast<unsigned>(step));
    if (lane + step < 32) from_here += other;
  }
  std::int64_t left = missing - (from_here - own);
  __syncwarp();  // all have read what one of them writes now
  if (left > 0 && left <= own) {
    int digit = kOwn - 1;
    while (left > static_cast<std::int64_t>(counts[digit])) left -= counts[digit--];
    table.missing[at] = left;
    const std::uint32_t above = shift == 24 ? 0 : table.threshold[at];
    table.threshold[at] = above | static_cast<std::uint32_t>(kOwn * lane + digit) << shift;
  }
  for (int k = 0; k < kOwn; ++k) counts[k] = 0;
}

template <typename Source>
__global__ void sum_top(Source source, TensorView<const float, 2> values, DeviceRegionTable table) {
  Running<unsigned long long> sums;
  for_each_word(source, table.capacity, [&](std::int32_t y, std::int32_t x, std::int32_t region) {
    std::int64_t key = -1;
    unsigned long long whole = 0;
    if (region >= 0) {
      const std::uint32_t bits = __float_as_uint(clean(values.data[y * values.strides[0] + x * values.strides[1]]));
      if (ordered_key(bits) > table.threshold[region]) {
        if (bits == 0x7f800000U) {
          atomicOr(table.infinities + region, 4U);
        } else {
          const ExactTerm term = exact_term(bits);
          key = std::int64_t{region} * kSumGroups + term.group;
          whole = static_cast<unsigned long long>(term.whole);
        }
      }
    }
    sums.add(key, whole, table.top_sums);
  });
  sums.flush(table.top_sums);
}

__device__ inline double rounded_sum(const unsigned long long* groups) {
  double sum = 0.0;
  for (int k = kSumGroups - 1; k >= 0; --k)
    sum += ldexp(static_cast<double>(static_cast<long long>(groups[k])), 8 * k - 150);
  return sum;
}

template <typename = void>
__global__ void finish_values(DeviceRegionTable table) {
  const std::int64_t at = thread_number();
  if (at >= table.capacity || table.regions[at].area == 0) return;
  DeviceRegion& region = table.regions[at];
  const double infinity = static_cast<double>(__uint_as_float(0x7f800000U));
  const std::uint32_t infinities = table.infinities[at];
  double sum = rounded_sum(table.sums + at * kSumGroups);
  if (infinities & 1U) sum += infinity;
  if (infinities & 2U) sum -= infinity;
  const double threshold = static_cast<double>(__uint_as_float(bits_of_key(table.threshold[at])));
  double top = rounded_sum(table.top_sums + at * kSumGroups) + static_cast<double>(table.missing[at]) * threshold;
  if (infinities & 4U) top += infinity;
  region.values.mean = static_cast<float>(sum / static_cast<double>(region.area));
  region.values.max = __uint_as_float(bits_of_key(table.greatest[at]));
  region.values.top_mean = static_cast<float>(top / static_cast<double>((region.area + 9) / 10));
}

}  // namespace regions

/// Measures the regions that `source` gives, all below the table's capacity.
///
/// source  word_count(), row_words(), may_hold(word), region(word, y, x): see regions::for_each_word
/// values  [H, W], or empty: geometry only
/// Reads the values of the regions' pixels six times, from the cache where regions are small beside it.
template <typename Source>
void enqueue_measure(const Source& source, TensorView<const float, 2> values, const DeviceRegionTable& table,
                     Stream stream) {
  if (table.capacity == 0) return;
  const dim3 words = blocks_for(source.word_count());
  const dim3 each = blocks_for(table.capacity);
  const dim3 warp_each = warp_blocks_for(table.capacity);
  LCX_LAUNCH(regions::clear_regions<>, warp_each, kThreadsPerBlock, 0, to_cuda(stream), table);
  LCX_LAUNCH(regions::measure<Source>, words, kThreadsPerBlock, 0, to_cuda(stream), source, values, table);
  if (table.sums != nullptr) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      LCX_LAUNCH(regions::count_digit<Source>, words, kThreadsPerBlock, 0, to_cuda(stream), source, values, table,
                 shift);
      LCX_LAUNCH(regions::choose_digit<>, warp_each, kThreadsPerBlock, 0, to_cuda(stream), table, shift);
    }
    LCX_LAUNCH(regions::sum_top<Source>, words, kThreadsPerBlock, 0, to_cuda(stream), source, values, table);
    LCX_LAUNCH(regions::finish_values<>, each, kThreadsPerBlock, 0, to_cuda(stream), table);
  }
  LCX_CUDA_CHECK(cudaGetLastError());
}

inline RegionGeometry geometry_of(const DeviceRegion& region) {
  if (region.area == 0) return {};
  return {static_cast<std::int64_t>(region.area),
          region.y0,
          region.x0,
          region.y1,
          region.x1,
          static_cast<std::int64_t>(region.sum_y),
          static_cast<std::int64_t>(region.sum_x)};
}

}  // namespace lcx
