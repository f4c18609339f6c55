#pragma once

// The steps of breast_mask on a GPU; see Note [Breast on the device].

#include "core/device_select.cuh"
#include "ops/breast_mask/breast_mask_impl.hpp"

namespace lcx::cuda {

// Note [Breast on the device]
// The coarse image has a fifth of a megapixel: all of it lies in the caches, and time goes into launches and waiting.
// So what every pixel decides for itself is a launch over pixels, and what follows step by step (peeling frames, sixty
// steps of morphology) is one block of 1,024 threads with barriers between steps, which cost less than launches would.
// What is found out on the way, such as the area within frames, is in device memory, and sizes of memory and launches
// depend on the image's shape alone: the whole can be captured into a graph. Every number is an integer of the CPU's,
// by the same arithmetic (breast_mask_impl.hpp); only the quantisation computes in floating point, and it is shared
// too.

constexpr int kBreastThreads = 1024;  // of the kernels of one block
constexpr int kLevelBins = 1024;
static_assert(kLevelBins == kLevels + 1 && kLevelBins == kBreastThreads);

/// Half-open, in pixels.
struct DeviceRectangle {
  std::int32_t y0, y1, x0, x1;
  LCX_HOST_DEVICE std::int32_t height() const { return y1 - y0; }
  LCX_HOST_DEVICE std::int32_t width() const { return x1 - x0; }
  LCX_HOST_DEVICE bool empty() const { return y1 <= y0 || x1 <= x0; }
  LCX_HOST_DEVICE bool holds(std::int64_t y, std::int64_t x) const { return y0 <= y && y < y1 && x0 <= x && x < x1; }
};

/// What is found out on the way; all zero in the beginning.
struct BreastState {
  std::uint32_t greatest;       ///< ordered_key of the greatest finite value; 0: there is none
  std::uint32_t least_flipped;  ///< ~ordered_key of the least one
  std::uint64_t gain;
  DeviceRectangle area;  ///< within frames
  std::int32_t centre;   ///< of the levels that count as background
  std::int32_t threshold;
  std::int32_t shows_background;  ///< 0: the image shows only breast
  unsigned long long best;        ///< of the regions' scores
  std::int32_t fine_counts[65536];
  std::int32_t level_counts[kLevelBins];  ///< of all pixels of the area
  std::int32_t mean_counts[kLevelBins];   ///< of flat surroundings' means
  std::int32_t near_counts[kLevelBins];   ///< of pixels in flat surroundings that count as background
};

/// Memory of the steps. Levels, sums and means are [H, W], dense.
struct DeviceBreast {
  std::int32_t height = 0, width = 0;
  BreastState* state = nullptr;
  std::uint16_t* levels = nullptr;
  std::uint16_t* sums = nullptr;   ///< over 5 x 5 pixels
  std::uint16_t* means = nullptr;  ///< kNotFlat where the surroundings are not flat
  std::int32_t* lines = nullptr;   ///< [max(H, W)] counts of a row or column each
  std::int32_t* raised = nullptr;  ///< [W] thresholds of the outer eighths' columns; 0 where none is raised
  /// Binary images with margins, so that what lies around the image can be painted on too.
  DeviceBits bright, canvas[2], seeds;
  DeviceComponents components;  ///< of canvas[0]

  LCX_HOST_DEVICE std::int64_t radius() const { return shape_radius(height, width); }
  LCX_HOST_DEVICE std::int32_t margin_y() const { return static_cast<std::int32_t>(radius()); }
  /// Whole words.
  LCX_HOST_DEVICE std::int32_t margin_x() const { return static_cast<std::int32_t>((radius() + 31) / 32 * 32); }
  LCX_HOST_DEVICE std::int64_t size() const { return std::int64_t{height} * width; }
};

DeviceBreast take_breast(Workspace& workspace, std::int64_t height, std::int64_t width);

/// Grey levels, and the area within frames.
void enqueue_levels(TensorView<const float, 2> image, const DeviceBreast& breast, Stream stream);
/// The threshold above which a pixel is not background, and columns' own ones.
void enqueue_background(const DeviceBreast& breast, Stream stream);
/// The breast's shape, into canvas[0] with its margins.
void enqueue_shape(const DeviceBreast& breast, Stream stream);

/// Adds one to counts[bin] for every lane with a bin (>= 0): lanes of one bin add together. All lanes come here.
__device__ inline void count_together(std::int32_t bin, std::int32_t* counts) {
  const unsigned peers = __match_any_sync(kAllLanes, bin);
  if (bin >= 0 && static_cast<int>(threadIdx.x & 31) == __ffs(static_cast<int>(peers)) - 1) {
    atomicAdd(counts + bin, __popc(peers));
  }
}

/// Inclusive sums of a block's values, one a thread; `sums` [32] is shared memory. All threads come here.
__device__ inline std::int32_t sum_up_to_thread(std::int32_t value, std::int32_t* sums) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  const int warp = static_cast<int>(threadIdx.x >> 5);
  for (int step = 1; step < 32; step *= 2) {
    const std::int32_t other = __shfl_up_sync(kAllLanes, value, static_cast<unsigned>(step));
    if (lane >= step) value += other;
  }
  __syncthreads();  // whoever reads sums of the call before
  if (lane == 31) sums[warp] = value;
  __syncthreads();
  for (int k = 0; k < warp; ++k) value += sums[k];
  return value;
}

}  // namespace lcx::cuda
