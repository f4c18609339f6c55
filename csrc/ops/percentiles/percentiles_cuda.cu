// A value at a rank is found digit by digit of its key (ordered_key), eight bits at a time from the highest on: counts
// say which digit it has. All ranks go together, so values are read six times (4 bytes each, and a byte of the mask)
// however many ranks there are, from the second-level cache where they are a coarse image's.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/exact_sum.hpp"
#include "core/last_block.cuh"
#include "ops/percentiles/percentiles.hpp"
#include "ops/percentiles/percentiles_cuda.cuh"

namespace lcx::cuda {
namespace {

constexpr int kBins = 256;

/// One rank on its way. All zero in the beginning.
struct Search {
  std::int64_t rank;            ///< among the values that agree with `key` so far
  std::int64_t equal;           ///< how many those are
  double part;                  ///< of the way to the next value
  std::uint32_t key;            ///< digits found so far
  std::uint32_t above_flipped;  ///< ~key of the least value above; 0: there is none
  std::int32_t counts[kBins];
};

struct State {
  unsigned long long inside;  ///< finite values inside the mask
  unsigned long long all;     ///< finite values
  std::int32_t has_mask;      ///< whether any pixel of the mask is set
  std::uint32_t ticket;       ///< of is_last_block
  Search searches[kMostPercentiles];
};

struct Source {
  TensorView<const float, 2> values;
  TensorView<const std::uint8_t, 2> mask;
  EmptyMask empty;

  __device__ bool is_inside(std::int64_t y, std::int64_t x) const {
    return mask.data == nullptr || mask.data[y * mask.strides[0] + x * mask.strides[1]] != 0;
  }
};

struct Ranks {
  double fractions[kMostPercentiles];
  int count;
};

/// A value that counts, or not: NaN, infinite, outside, past the last one.
struct Key {
  std::uint32_t key;
  bool counts;
};

__device__ inline Key key_at(const Source& source, const State& state, std::int64_t at) {
  if (at >= source.values.shape[0] * source.values.shape[1]) return {0, false};
  const std::int64_t y = at / source.values.shape[1];
  const std::int64_t x = at % source.values.shape[1];
  const float value = source.values.data[y * source.values.strides[0] + x * source.values.strides[1]];
  const std::uint32_t bits = __float_as_uint(value + 0.0F);  // zeros of both signs are equal
  const bool everything = source.empty == EmptyMask::kEverything && state.has_mask == 0;
  return {ordered_key(bits), (bits & 0x7f800000U) != 0x7f800000U && (everything || source.is_inside(y, x))};
}

__global__ void count_finite(Source source, State* state) {
  const std::int64_t at = thread_number();
  const bool exists = at < source.values.shape[0] * source.values.shape[1];
  const bool is_finite = key_at(Source{source.values, {}, source.empty}, *state, at).counts;
  const bool is_inside = exists && source.is_inside(at / source.values.shape[1], at % source.values.shape[1]);
  const unsigned all = __ballot_sync(kAllLanes, is_finite);
  const unsigned mask = __ballot_sync(kAllLanes, is_inside);
  if ((threadIdx.x & 31) != 0) return;
  if (all != 0) atomicAdd(&state->all, static_cast<unsigned long long>(__popc(all)));
  if ((all & mask) != 0) atomicAdd(&state->inside, static_cast<unsigned long long>(__popc(all & mask)));
  if (mask != 0) atomicExch(&state->has_mask, 1);
}

// A warp a rank, a lane eight bins: the lane whose bins hold the rank finds the digit.
__device__ inline void choose_digit(EmptyMask empty, const Ranks& ranks, State* state, int shift) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  Search& search = state->searches[threadIdx.x >> 5];
  if (shift == 24 && lane == 0) {
    const bool everything = empty == EmptyMask::kEverything && state->has_mask == 0;
    const unsigned long long values = everything ? state->all : state->inside;
    const double position = ranks.fractions[threadIdx.x >> 5] * static_cast<double>(values > 0 ? values - 1 : 0);
    search.rank = static_cast<std::int64_t>(position);
    search.part = position - static_cast<double>(search.rank);
  }
  __syncwarp();
  const std::int64_t rank = search.rank;
  std::int32_t* own = search.counts + 8 * lane;
  std::int32_t sum = 0;
  for (int k = 0; k < 8; ++k) sum += own[k];
  std::int32_t up_to = sum;
  for (int step = 1; step < 32; step *= 2) {
    const std::int32_t other = __shfl_up_sync(kAllLanes, up_to, static_cast<unsigned>(step));
    if (lane >= step) up_to += other;
  }
  std::int64_t below = up_to - sum;
  const bool holds = below <= rank && rank < up_to;
  int digit = 0;
  while (holds && below + own[digit] <= rank) below += own[digit++];
  __syncwarp();
  if (holds) {
    search.rank = rank - below;
    search.equal = own[digit];
    search.key |= static_cast<std::uint32_t>(8 * lane + digit) << shift;
  }
  for (int k = 0; k < 8; ++k) own[k] = 0;
}

// A value's digit; the last block chooses.
__global__ void count_digit(Source source, State* state, Ranks ranks, int shift) {
  LCX_SHARED(std::int32_t, counts, kMostPercentiles* kBins);
  for (auto k = static_cast<int>(threadIdx.x); k < ranks.count * kBins; k += kThreadsPerBlock) counts[k] = 0;
  __syncthreads();
  const Key own = key_at(source, *state, thread_number());
  for (int r = 0; r < ranks.count; ++r) {
    const bool agrees = own.counts && (shift == 24 || (own.key ^ state->searches[r].key) >> (shift + 8) == 0);
    const int bin = agrees ? static_cast<int>(own.key >> shift & 0xffU) : -1;
    const unsigned peers = __match_any_sync(kAllLanes, bin);
    if (agrees && static_cast<int>(threadIdx.x & 31) == __ffs(static_cast<int>(peers)) - 1) {
      atomicAdd(counts + r * kBins + bin, __popc(peers));
    }
  }
  __syncthreads();
  for (auto k = static_cast<int>(threadIdx.x); k < ranks.count * kBins; k += kThreadsPerBlock) {
    if (counts[k] != 0) atomicAdd(state->searches[k / kBins].counts + k % kBins, counts[k]);
  }
  if (is_last_block(&state->ticket) && threadIdx.x < 32U * static_cast<unsigned>(ranks.count)) {
    choose_digit(source.empty, ranks, state, shift);
  }
}

__device__ inline void interpolate(EmptyMask empty, const State* state, int r, double* results) {
  const bool everything = empty == EmptyMask::kEverything && state->has_mask == 0;
  const Search& search = state->searches[r];
  const auto value = [](std::uint32_t key) { return static_cast<double>(__uint_as_float(bits_of_key(key))); };
  if ((everything ? state->all : state->inside) == 0) {
    results[r] = static_cast<double>(__uint_as_float(0x7fc00000U));
    return;
  }
  const double below = value(search.key);
  const double above = search.part == 0.0 || search.equal > search.rank + 1 ? below : value(~search.above_flipped);
  results[r] = search.part == 0.0 ? below : below + search.part * (above - below);
}

// The least value above each found one; the last block has the results.
__global__ void find_above(Source source, State* state, int ranks, double* results) {
  const Key own = key_at(source, *state, thread_number());
  for (int r = 0; r < ranks; ++r) {
    std::uint32_t flipped = own.counts && own.key > state->searches[r].key ? ~own.key : 0;
    for (int step = 16; step > 0; step /= 2) flipped = max(flipped, __shfl_xor_sync(kAllLanes, flipped, step));
    if ((threadIdx.x & 31) == 0 && flipped != 0) atomicMax(&state->searches[r].above_flipped, flipped);
  }
  if (is_last_block(&state->ticket) && threadIdx.x < static_cast<unsigned>(ranks)) {
    interpolate(source.empty, state, static_cast<int>(threadIdx.x), results);
  }
}

}  // namespace

std::size_t percentiles_workspace_bytes() {
  Workspace counter;
  counter.take<State>(1);
  return counter.peak();
}

void enqueue_percentiles(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask, EmptyMask empty,
                         std::span<const double> ranks, double* results, Workspace& workspace, Stream stream) {
  require_argument(ranks.size() <= kMostPercentiles, ranks.size(), " percentiles; on a GPU at most ", kMostPercentiles);
  if (ranks.empty()) return;
  auto* state = workspace.take<State>(1);
  const Source source{values, mask, empty};
  Ranks fractions{};
  fractions.count = static_cast<int>(ranks.size());
  for (int r = 0; r < fractions.count; ++r) fractions.fractions[r] = ranks[static_cast<std::size_t>(r)] / 100.0;
  const int count = fractions.count;
  const dim3 blocks = blocks_for(std::max<std::int64_t>(values.size(), 1));
  const cudaStream_t on = to_cuda(stream);
  LCX_CUDA_CHECK(cudaMemsetAsync(state, 0, sizeof(State), on));
  LCX_LAUNCH(count_finite, blocks, kThreadsPerBlock, 0, on, source, state);
  for (int shift = 24; shift >= 0; shift -= 8) {
    LCX_LAUNCH(count_digit, blocks, kThreadsPerBlock, 0, on, source, state, fractions, shift);
  }
  LCX_LAUNCH(find_above, blocks, kThreadsPerBlock, 0, on, source, state, count, results);
  LCX_CUDA_CHECK(cudaGetLastError());
}

std::vector<double> percentiles(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask,
                                std::span<const double> ranks, Stream stream) {
  const DeviceGuard guard(values.device);
  std::vector<double> results;
  for (std::size_t first = 0; first < ranks.size(); first += kMostPercentiles) {
    const auto some = ranks.subspan(first, std::min<std::size_t>(kMostPercentiles, ranks.size() - first));
    Workspace counter;
    counter.take<double>(kMostPercentiles);
    const Scratch scratch(counter.peak() + percentiles_workspace_bytes(), values.device, stream);
    Workspace workspace = scratch.workspace();
    auto* found = workspace.take<double>(kMostPercentiles);
    enqueue_percentiles(values, mask, EmptyMask::kNothing, some, found, workspace, stream);
    const auto part = download_array<double>(found, static_cast<std::int64_t>(some.size()), stream);
    results.insert(results.end(), part.begin(), part.end());
  }
  return results;
}

}  // namespace lcx::cuda
