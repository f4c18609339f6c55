// Quantisation and frames. The image is read twice (4 bytes a pixel), its levels written and read (2 bytes).

#include "core/exact_sum.hpp"
#include "ops/breast_mask/device_breast.cuh"

namespace lcx::cuda {
namespace {

constexpr int kWarps = kBreastThreads / 32;

// --- Quantisation ---

__global__ void find_range(TensorView<const float, 2> image, BreastState* state) {
  const std::int64_t at = thread_number();
  std::uint32_t greatest = 0;
  std::uint32_t least_flipped = 0;
  if (at < image.shape[0] * image.shape[1]) {
    const std::int64_t y = at / image.shape[1];
    const std::int64_t x = at % image.shape[1];
    const std::uint32_t bits = __float_as_uint(image.data[y * image.strides[0] + x * image.strides[1]]);
    if ((bits & 0x7f800000U) != 0x7f800000U) {
      greatest = ordered_key(bits);
      least_flipped = ~greatest;
    }
  }
  for (int step = 16; step > 0; step /= 2) {
    greatest = max(greatest, __shfl_xor_sync(kAllLanes, greatest, step));
    least_flipped = max(least_flipped, __shfl_xor_sync(kAllLanes, least_flipped, step));
  }
  if ((threadIdx.x & 31) != 0 || greatest == 0) return;
  atomicMax(&state->greatest, greatest);
  atomicMax(&state->least_flipped, least_flipped);
}

// Into `levels`, on the fine scale; 0 for an image without contrast.
__global__ void count_fine(TensorView<const float, 2> image, DeviceBreast breast) {
  const std::int64_t at = thread_number();
  BreastState& state = *breast.state;
  std::int32_t level = -1;
  if (at < breast.size()) {
    const float low = __uint_as_float(bits_of_key(~state.least_flipped));
    const float high = __uint_as_float(bits_of_key(state.greatest));
    const std::int64_t y = at / breast.width;
    const std::int64_t x = at % breast.width;
    const float value = image.data[y * image.strides[0] + x * image.strides[1]];
    level = state.greatest != 0 && low < high ? fine_level(fine_scale(low, high), value) : 0;
    breast.levels[at] = static_cast<std::uint16_t>(level);
  }
  count_together(level, state.fine_counts);
}

// The thread whose 64 bins hold the rank looks for it among them.
__global__ void __launch_bounds__(kBreastThreads) choose_gain(DeviceBreast breast) {
  LCX_SHARED(std::int32_t, sums, 32);
  constexpr int kBins = 65536 / kBreastThreads;
  const std::int32_t* counts = breast.state->fine_counts + static_cast<int>(threadIdx.x) * kBins;
  std::int32_t own = 0;
  for (int k = 0; k < kBins; ++k) own += counts[k];
  const std::int64_t rank = (breast.size() - 1) * kWhitePercentile / 100;
  std::int64_t below = sum_up_to_thread(own, sums) - own;
  if (rank < below || rank >= below + own) return;
  int bin = 0;
  while (below + counts[bin] <= rank) below += counts[bin++];
  breast.state->gain = level_gain(static_cast<std::uint64_t>(threadIdx.x) * kBins + static_cast<std::uint64_t>(bin));
}

__global__ void make_coarse(DeviceBreast breast) {
  const std::int64_t at = thread_number();
  if (at < breast.size()) breast.levels[at] = coarse_level(breast.levels[at], breast.state->gain);
}

// --- Frames ---

/// A row or a column of levels.
struct LevelLine {
  const std::uint16_t* data;
  std::int32_t length;
  std::int64_t stride;
};

// Bright pixels of each row of the area, into `lines`: a warp goes along a row.
__device__ inline void count_rows(const DeviceBreast& breast, const DeviceRectangle& area) {
  const auto lane = static_cast<std::int32_t>(threadIdx.x & 31);
  for (std::int32_t y = area.y0 + static_cast<std::int32_t>(threadIdx.x >> 5); y < area.y1; y += kWarps) {
    std::int32_t bright = 0;
    for (std::int32_t x = area.x0 + lane; x < area.x1; x += 32) {
      bright += breast.levels[std::int64_t{y} * breast.width + x] > kBlackLevel ? 1 : 0;
    }
    for (int step = 16; step > 0; step /= 2) bright += __shfl_xor_sync(kAllLanes, bright, step);
    if (lane == 0) breast.lines[y] = bright;
  }
}

// Of each column: a warp takes 32 columns of some rows, so that it reads along rows.
__device__ inline void count_columns(const DeviceBreast& breast, const DeviceRectangle& area) {
  constexpr std::int32_t kRows = 64;
  for (std::int32_t x = area.x0 + static_cast<std::int32_t>(threadIdx.x); x < area.x1; x += kBreastThreads) {
    breast.lines[x] = 0;
  }
  __syncthreads();
  const std::int32_t strips = (area.width() + 31) / 32;
  const std::int32_t pieces = (area.height() + kRows - 1) / kRows;
  for (auto task = static_cast<std::int32_t>(threadIdx.x >> 5); task < strips * pieces; task += kWarps) {
    const std::int32_t x = area.x0 + task % strips * 32 + static_cast<std::int32_t>(threadIdx.x & 31);
    const std::int32_t first = area.y0 + task / strips * kRows;
    if (x >= area.x1) continue;
    std::int32_t bright = 0;
    for (std::int32_t y = first; y < min(first + kRows, area.y1); ++y) {
      bright += breast.levels[std::int64_t{y} * breast.width + x] > kBlackLevel ? 1 : 0;
    }
    if (bright > 0) atomicAdd(breast.lines + x, bright);
  }
}

// Narrows [begin, end) to the first and last line that is not black; to nothing where all are. `ends` [2] is shared.
__device__ inline void peel_lines(const DeviceBreast& breast, std::int32_t length, std::int32_t& begin,
                                  std::int32_t& end, std::int32_t* ends) {
  if (threadIdx.x == 0) {
    ends[0] = end;
    ends[1] = begin;
  }
  __syncthreads();
  for (std::int32_t i = begin + static_cast<std::int32_t>(threadIdx.x); i < end; i += kBreastThreads) {
    if (is_black_line(breast.lines[i], length)) continue;
    atomicMin(ends, i);
    atomicMax(ends + 1, i + 1);
  }
  __syncthreads();
  begin = ends[0];
  end = max(ends[0], ends[1]);
  __syncthreads();
}

__device__ inline void peel_black(const DeviceBreast& breast, DeviceRectangle& area, std::int32_t* ends) {
  count_rows(breast, area);
  __syncthreads();
  peel_lines(breast, area.width(), area.y0, area.y1, ends);
  count_columns(breast, area);
  __syncthreads();
  peel_lines(breast, area.height(), area.x0, area.x1, ends);
}

// A warp asks whether a white frame ends between the lines `outer` and three further in; deepest so far into `depth`.
__device__ inline void try_white_end(const LevelLine& outer, const LevelLine& inner, std::int32_t i,
                                     std::int32_t* depth) {
  std::int32_t falls = 0;
  for (auto k = static_cast<std::int32_t>(threadIdx.x & 31); k < outer.length; k += 32) {
    falls += is_frame_fall(outer.data[k * outer.stride], inner.data[k * inner.stride]) ? 1 : 0;
  }
  for (int step = 16; step > 0; step /= 2) falls += __shfl_xor_sync(kAllLanes, falls, step);
  if ((threadIdx.x & 31) == 0 && 4 * falls >= outer.length) atomicMax(depth, i + 2);
}

// `depths` [4] is shared memory.
__device__ inline void peel_white(const DeviceBreast& breast, DeviceRectangle& area, std::int32_t* depths) {
  if (threadIdx.x < 4) depths[threadIdx.x] = 0;
  __syncthreads();
  const DeviceRectangle a = area;
  const auto row = [&](std::int32_t y) {
    return LevelLine{breast.levels + std::int64_t{y} * breast.width + a.x0, a.width(), 1};
  };
  const auto column = [&](std::int32_t x) {
    return LevelLine{breast.levels + std::int64_t{a.y0} * breast.width + x, a.height(), breast.width};
  };
  for (auto i = static_cast<std::int32_t>(threadIdx.x >> 5); i < a.height() / 12; i += kWarps) {
    try_white_end(row(a.y0 + i), row(a.y0 + i + 3), i, depths);
    try_white_end(row(a.y1 - 1 - i), row(a.y1 - 4 - i), i, depths + 1);
  }
  for (auto i = static_cast<std::int32_t>(threadIdx.x >> 5); i < a.width() / 12; i += kWarps) {
    try_white_end(column(a.x0 + i), column(a.x0 + i + 3), i, depths + 2);
    try_white_end(column(a.x1 - 1 - i), column(a.x1 - 4 - i), i, depths + 3);
  }
  __syncthreads();
  area = {a.y0 + depths[0], a.y1 - depths[1], a.x0 + depths[2], a.x1 - depths[3]};
}

__global__ void __launch_bounds__(kBreastThreads) peel_frames(DeviceBreast breast) {
  LCX_SHARED(std::int32_t, ends, 2);
  LCX_SHARED(std::int32_t, depths, 4);
  DeviceRectangle area{0, breast.height, 0, breast.width};
  peel_black(breast, area, ends);
  peel_white(breast, area, depths);
  peel_black(breast, area, ends);
  if (threadIdx.x == 0) breast.state->area = area;
}

}  // namespace

void enqueue_levels(TensorView<const float, 2> image, const DeviceBreast& breast, Stream stream) {
  const dim3 pixels = blocks_for(breast.size());
  LCX_LAUNCH(find_range, pixels, kThreadsPerBlock, 0, to_cuda(stream), image, breast.state);
  LCX_LAUNCH(count_fine, pixels, kThreadsPerBlock, 0, to_cuda(stream), image, breast);
  LCX_LAUNCH(choose_gain, 1, kBreastThreads, 0, to_cuda(stream), breast);
  LCX_LAUNCH(make_coarse, pixels, kThreadsPerBlock, 0, to_cuda(stream), breast);
  LCX_LAUNCH(peel_frames, 1, kBreastThreads, 0, to_cuda(stream), breast);
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace lcx::cuda
