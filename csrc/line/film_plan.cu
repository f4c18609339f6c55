#include <cmath>

#include "line/film_plan.cuh"

namespace lcx {
namespace {

constexpr int kPlanThreads = 1024;

// A warp a tile: whether any pixel of the mask that the tile looks up is set.
__global__ void find_present(TensorView<const std::uint8_t, 2> mask, GridLayout layout) {
  const auto n = static_cast<std::int32_t>(thread_number() / 32);
  if (n >= layout.grid.rows * layout.grid.columns) return;
  const std::int32_t* rows = layout.ranges.rows + 2 * (n / layout.grid.columns);
  const std::int32_t* columns = layout.ranges.columns + 2 * (n % layout.grid.columns);
  bool any = false;
  for (std::int32_t y = rows[0]; y < rows[1] && !any; ++y) {
    for (std::int32_t x = columns[0] + static_cast<std::int32_t>(threadIdx.x & 31); x < columns[1]; x += 32) {
      any = any || mask.data[y * mask.strides[0] + x * mask.strides[1]] != 0;
    }
  }
  const bool present = __any_sync(kAllLanes, any) != 0;
  if ((threadIdx.x & 31) == 0) layout.tiles[n] = present ? 0 : -1;
}

// Numbers the present tiles in order, and settles the window. One block.
__global__ void __launch_bounds__(kPlanThreads)
    number_tiles(const double* window, float mean, float deviation, GridLayout layout, FilmFindings* findings) {
  LCX_SHARED(std::int32_t, warp_sums, kPlanThreads / 32);
  const std::int32_t count = layout.grid.rows * layout.grid.columns;
  const auto lane = static_cast<int>(threadIdx.x & 31);
  const auto warp = static_cast<int>(threadIdx.x >> 5);
  std::int32_t before = 0;
  for (std::int32_t first = 0; first < count; first += kPlanThreads) {
    const std::int32_t n = first + static_cast<std::int32_t>(threadIdx.x);
    const bool present = n < count && layout.tiles[n] >= 0;
    const unsigned lanes = __ballot_sync(kAllLanes, present);
    if (lane == 0) warp_sums[warp] = __popc(lanes);
    __syncthreads();
    std::int32_t number = before + __popc(lanes & ((1U << lane) - 1U));
    for (int w = 0; w < kPlanThreads / 32; ++w) {
      if (w < warp) number += warp_sums[w];
      before += warp_sums[w];
    }
    __syncthreads();
    if (!present) continue;
    layout.tiles[n] = number;
    layout.origins[2 * number] = n / layout.grid.columns;
    layout.origins[2 * number + 1] = n % layout.grid.columns;
  }
  if (threadIdx.x != 0) return;
  const bool is_known = window[0] == window[0];
  const auto low = is_known ? static_cast<float>(window[0]) : 0.0F;
  auto high = is_known ? static_cast<float>(window[1]) : 1.0F;
  // Where all values are equal the window is one unit wide, or as narrow as float is there.
  if (!(high > low)) high = fmaxf(static_cast<float>(double{low} + 1.0), nextafterf(low, INFINITY));
  *findings = {affine_clip({low, high, mean, deviation}), low, high, before};
}

// A thread a pixel, along the rows, so that what a warp reads and writes lies side by side.
__global__ void cut(TensorView<const float, 2> averages, DeviceGrid grid, const FilmFindings* findings,
                    TensorView<const std::uint8_t, 2> mask, const std::int32_t* index, TensorView<float, 4> tile) {
  const std::int64_t i = thread_number();
  if (i >= std::int64_t{grid.tile_height} * grid.tile_width) return;
  const AffineClip clip = findings->clip;
  float value = clip.low;  // padding holds what `low` maps to
  if (*index < findings->tiles) {
    const std::int32_t* origin = grid.origins + 2 * std::int64_t{*index};
    const std::int64_t y = grid.row_starts[origin[0]] + i / grid.tile_width;
    const std::int64_t x = grid.column_starts[origin[1]] + i % grid.tile_width;
    if (y < grid.height && x < grid.width && is_kept(mask, grid, y, x)) {
      value = averages.data[y * averages.strides[0] + x];
    }
  }
  tile.data[i] = apply(clip, value);
}

template <typename Vector>
__global__ void keep(const float* output, std::int64_t values, const FilmFindings* findings, const std::int32_t* index,
                     float* outputs) {
  const std::int64_t i = thread_number();
  if (i * static_cast<std::int64_t>(sizeof(Vector)) >= values * static_cast<std::int64_t>(sizeof(float))) return;
  if (*index >= findings->tiles) return;
  reinterpret_cast<Vector*>(outputs + *index * values)[i] = reinterpret_cast<const Vector*>(output)[i];
}

}  // namespace

void enqueue_film_plan(const double* window, TensorView<const std::uint8_t, 2> mask, float mean, float deviation,
                       const GridLayout& layout, FilmFindings* findings, Stream stream) {
  const std::int64_t tiles = std::int64_t{layout.grid.rows} * layout.grid.columns;
  LCX_LAUNCH(find_present, warp_blocks_for(tiles), kThreadsPerBlock, 0, to_cuda(stream), mask, layout);
  LCX_LAUNCH(number_tiles, 1, kPlanThreads, 0, to_cuda(stream), window, mean, deviation, layout, findings);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_cut_tile(TensorView<const float, 2> averages, const DeviceGrid& grid, const FilmFindings* findings,
                      TensorView<const std::uint8_t, 2> mask, const std::int32_t* index, TensorView<float, 4> tile,
                      Stream stream) {
  LCX_LAUNCH(cut, blocks_for(tile.size()), kThreadsPerBlock, 0, to_cuda(stream), averages, grid, findings, mask, index,
             tile);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_keep_output(const float* output, std::int64_t values, const FilmFindings* findings,
                         const std::int32_t* index, float* outputs, Stream stream) {
  // Both come from the allocator, so where tiles are multiples of 16 bytes each begins at one.
  if (values % 4 == 0) {
    LCX_LAUNCH(keep<float4>, blocks_for(values / 4), kThreadsPerBlock, 0, to_cuda(stream), output, values, findings,
               index, outputs);
  } else {
    LCX_LAUNCH(keep<float>, blocks_for(values), kThreadsPerBlock, 0, to_cuda(stream), output, values, findings, index,
               outputs);
  }
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace lcx
