// The background's level and what rises above it, by counting levels.

#include "ops/breast_mask/device_breast.cuh"

namespace lcx::cuda {
namespace {

// Sums over 5 x 5 pixels, the area's edge pixels repeated outwards.
__global__ void sum_boxes(DeviceBreast breast) {
  const std::int64_t at = thread_number();
  const DeviceRectangle area = breast.state->area;
  const std::int64_t y = at / breast.width;
  const std::int64_t x = at % breast.width;
  if (at >= breast.size() || !area.holds(y, x)) return;
  std::int32_t sum = 0;
  for (std::int64_t dy = -2; dy <= 2; ++dy) {
    const std::int64_t row = min(max(y + dy, std::int64_t{area.y0}), std::int64_t{area.y1 - 1});
    for (std::int64_t dx = -2; dx <= 2; ++dx) {
      const std::int64_t column = min(max(x + dx, std::int64_t{area.x0}), std::int64_t{area.x1 - 1});
      sum += breast.levels[row * breast.width + column];
    }
  }
  breast.sums[at] = static_cast<std::uint16_t>(sum);
}

// Means where the surroundings are flat; and counts of levels and of means.
__global__ void mark_flat(DeviceBreast breast) {
  const std::int64_t at = thread_number();
  const DeviceRectangle area = breast.state->area;
  const std::int64_t y = at / breast.width;
  const std::int64_t x = at % breast.width;
  std::int32_t level = -1;
  std::int32_t mean = -1;
  if (at < breast.size() && area.holds(y, x)) {
    level = breast.levels[at];
    std::int32_t least = breast.sums[at];
    std::int32_t most = least;
    for (std::int64_t row = max(y - 1, std::int64_t{area.y0}); row <= min(y + 1, std::int64_t{area.y1 - 1}); ++row) {
      for (std::int64_t column = max(x - 1, std::int64_t{area.x0}); column <= min(x + 1, std::int64_t{area.x1 - 1});
           ++column) {
        const std::int32_t sum = breast.sums[row * breast.width + column];
        least = min(least, sum);
        most = max(most, sum);
      }
    }
    if (most - least <= 25 * kFlatRange) mean = breast.sums[at] / 25;
    breast.means[at] = mean >= 0 ? static_cast<std::uint16_t>(mean) : kNotFlat;
  }
  count_together(level, breast.state->level_counts);
  count_together(mean, breast.state->mean_counts);
}

// The level about which most flat pixels lie, of the darker half; the lowest of several.
__global__ void __launch_bounds__(kBreastThreads) find_mode(DeviceBreast breast) {
  LCX_SHARED(std::int32_t, warp_sums, 32);
  LCX_SHARED(std::int32_t, up_to, kLevelBins);
  LCX_SHARED(unsigned long long, best, 1);
  const auto level = static_cast<std::int32_t>(threadIdx.x);
  up_to[level] = sum_up_to_thread(breast.state->mean_counts[level], warp_sums);
  if (level == 0) *best = 0;
  __syncthreads();
  if (level < kLevels / 2) {
    const std::int32_t below = level - kModeHalfWindow - 1;
    const std::int32_t count = up_to[min(level + kModeHalfWindow, kLevels)] - (below >= 0 ? up_to[below] : 0);
    atomicMax(best,
              static_cast<unsigned long long>(count) << 10 | static_cast<unsigned long long>(kLevelBins - 1 - level));
  }
  __syncthreads();
  if (level != 0) return;
  breast.state->centre = kLevelBins - 1 - static_cast<std::int32_t>(*best & (kLevelBins - 1));
  breast.state->shows_background = static_cast<std::int32_t>(*best >> 10);  // so many pixels, for choose_threshold
}

__global__ void count_near(DeviceBreast breast) {
  const std::int64_t at = thread_number();
  const BreastState& state = *breast.state;
  std::int32_t level = -1;
  if (at < breast.size() && state.area.holds(at / breast.width, at % breast.width)) {
    const std::int32_t distance = breast.means[at] - state.centre;  // far where the mean is kNotFlat
    if (distance >= -kModeHalfWindow && distance <= kModeHalfWindow) level = breast.levels[at];
  }
  count_together(level, breast.state->near_counts);
}

// A thread a level. The one whose level holds a rank says so, in `found`.
__device__ inline void find_rank(std::int32_t before, std::int32_t count, std::int32_t rank, std::int32_t* found) {
  if (before <= rank && rank < before + count) *found = static_cast<std::int32_t>(threadIdx.x);
}

__global__ void __launch_bounds__(kBreastThreads) choose_threshold(DeviceBreast breast) {
  LCX_SHARED(std::int32_t, warp_sums, 32);
  LCX_SHARED(std::int32_t, up_to, kLevelBins);
  LCX_SHARED(std::int32_t, found, 2);
  BreastState& state = *breast.state;
  const auto level = static_cast<std::int32_t>(threadIdx.x);
  const std::int32_t mode_count = state.shows_background;
  if (level < 2) found[level] = 0;
  const std::int32_t near = state.near_counts[level];
  const std::int32_t near_sum = sum_up_to_thread(near, warp_sums);
  if (level == kLevelBins - 1) up_to[0] = near_sum;
  __syncthreads();
  find_rank(near_sum - near, near, (up_to[0] - 1) / 2, found);  // the lower median
  __syncthreads();
  const std::int32_t background = found[0];
  const std::int32_t count = state.level_counts[level];
  up_to[level] = sum_up_to_thread(count, warp_sums);
  __syncthreads();
  find_rank(up_to[level] - count, count, (up_to[background] - 1) / 2, found + 1);
  __syncthreads();
  if (level != 0) return;
  const int threshold = skin_threshold(background, background - found[1]);
  state.threshold = threshold;
  state.shows_background = mode_count > 0 && 4 * std::int64_t{mode_count} >= up_to[min(threshold, kLevels)] ? 1 : 0;
}

// A warp counts its column's pixels up to a level.
__device__ inline std::int32_t count_up_to(const DeviceBreast& breast, const DeviceRectangle& area, std::int32_t x,
                                           std::int32_t level) {
  std::int32_t count = 0;
  for (std::int32_t y = area.y0 + static_cast<std::int32_t>(threadIdx.x & 31); y < area.y1; y += 32) {
    count += breast.levels[std::int64_t{y} * breast.width + x] <= level ? 1 : 0;
  }
  for (int step = 16; step > 0; step /= 2) count += __shfl_xor_sync(kAllLanes, count, step);
  return count;
}

// A warp a column of the outer eighths: its raised threshold, the common one for a column of tissue, 0 for an unlit
// one.
__global__ void raise_columns(DeviceBreast breast) {
  const BreastState& state = *breast.state;
  const DeviceRectangle area = state.area;
  const auto column = static_cast<std::int32_t>(thread_number() / 32);
  const std::int32_t eighth = area.width() / 8;
  if (area.empty() || column >= 2 * eighth) return;
  const std::int32_t x = column < eighth ? area.x0 + column : area.x1 - 1 - (column - eighth);
  const std::int32_t rank = (area.height() - 1) * 4 / 100;
  std::int32_t dark = 0;
  for (std::int32_t high = kLevels; dark < high;) {
    const std::int32_t middle = (dark + high) / 2;
    if (count_up_to(breast, area, x, middle) > rank) {
      high = middle;
    } else {
      dark = middle + 1;
    }
  }
  const std::int32_t raised = raised_threshold(dark);
  const bool is_leak = dark <= kLeakLevel && 12 * count_up_to(breast, area, x, raised) >= area.height();
  if ((threadIdx.x & 31) == 0) {
    breast.raised[x] = dark <= state.threshold ? 0 : is_leak ? raised : state.threshold;
  }
}

}  // namespace

void enqueue_background(const DeviceBreast& breast, Stream stream) {
  const dim3 pixels = blocks_for(breast.size());
  LCX_LAUNCH(sum_boxes, pixels, kThreadsPerBlock, 0, to_cuda(stream), breast);
  LCX_LAUNCH(mark_flat, pixels, kThreadsPerBlock, 0, to_cuda(stream), breast);
  LCX_LAUNCH(find_mode, 1, kBreastThreads, 0, to_cuda(stream), breast);
  LCX_LAUNCH(count_near, pixels, kThreadsPerBlock, 0, to_cuda(stream), breast);
  LCX_LAUNCH(choose_threshold, 1, kBreastThreads, 0, to_cuda(stream), breast);
  LCX_LAUNCH(raise_columns, warp_blocks_for(breast.width / 8 * 2 + 1), kThreadsPerBlock, 0, to_cuda(stream), breast);
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace lcx::cuda
