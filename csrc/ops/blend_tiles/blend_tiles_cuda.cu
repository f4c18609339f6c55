// A thread takes four neighbouring pixels of the map and gathers from the tiles that cover them, in their order, so
// nothing is added to memory twice and no atomics are needed. Each tile pixel is read once (4 bytes) and each map pixel
// written once, four at a time where they lie so.

#include "core/quads.cuh"
#include "ops/blend_tiles/blend_tiles_cuda.cuh"
#include "ops/blend_tiles/blend_tiles_impl.hpp"

namespace lcx::cuda {
namespace {

/// Calls visit(tile, y within it, x within it, weight of its row) for the tiles that cover any of the `count` grid
/// pixels from (y, x) on, in order; x within it is that of the first, below 0 where the tile begins behind it.
template <typename Visit>
__device__ inline void for_each_tile(const DeviceGrid& grid, const float* weights, std::int32_t y, std::int32_t x,
                                     std::int32_t count, const Visit& visit) {
  for (std::int32_t r = 0; r < grid.rows; ++r) {
    const std::int32_t tile_y = y - grid.row_starts[r];
    if (tile_y < 0) return;  // starts ascend
    if (tile_y >= grid.tile_height) continue;
    for (std::int32_t c = 0; c < grid.columns; ++c) {
      const std::int32_t tile_x = x - grid.column_starts[c];
      if (tile_x + count <= 0) break;
      const std::int32_t n = grid.tiles[r * grid.columns + c];
      if (tile_x >= grid.tile_width || n < 0) continue;
      visit(n, tile_y, tile_x, weights[tile_y]);
    }
  }
}

/// Sums over the tiles that cover each of four pixels.
struct Sums {
  float weighted[kQuad] = {};
  float total[kQuad] = {};
  float last[kQuad] = {};  ///< of the tile visited last
  int count[kQuad] = {};
};

__global__ void blend(TensorView<const float, 4> tiles, DeviceGrid grid, const float* weights,
                      TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map) {
  const auto x = static_cast<std::int32_t>(blockIdx.x * blockDim.x + threadIdx.x) * kQuad;
  const auto y = static_cast<std::int32_t>(blockIdx.y);
  const auto channel = static_cast<std::int64_t>(blockIdx.z);
  if (x >= grid.width) return;
  Sums sums;
  for_each_tile(grid, weights, y, x, kQuad, [&](std::int32_t n, std::int32_t tile_y, std::int32_t tile_x, float row) {
    const float* from = tiles.data + n * tiles.strides[0] + channel * tiles.strides[1] + tile_y * tiles.strides[2];
    load_quad(from, tiles.strides[3], tile_x, grid.tile_width, sums.last);
    for (std::int32_t k = 0; k < kQuad; ++k) {
      if (tile_x + k < 0 || tile_x + k >= grid.tile_width) continue;
      const float weight = row * weights[grid.tile_height + tile_x + k];
      sums.weighted[k] += weight * sums.last[k];
      sums.total[k] += weight;
      ++sums.count[k];
    }
  });
  float values[kQuad] = {};
  for (std::int32_t k = 0; k < kQuad && x + k < grid.width; ++k) {
    if (sums.count[k] == 0 || !is_kept(mask, grid, y, x + k)) continue;
    // One tile alone is copied: its value times its weight over its weight might be another.
    values[k] = sums.count[k] == 1 ? sums.last[k] : sums.weighted[k] / sums.total[k];
  }
  store_quad(map.data + channel * map.strides[0] + y * map.strides[1], map.strides[2], x, grid.width, values);
}

__global__ void add_tile(TensorView<const float, 3> tile, std::int32_t n, DeviceGrid grid, const float* weights,
                         TensorView<float, 3> map) {
  const auto tile_y = static_cast<std::int32_t>(blockIdx.y);
  const auto channel = static_cast<std::int64_t>(blockIdx.z);
  const std::int32_t y = grid.row_starts[grid.origins[2 * n]] + tile_y;
  const std::int32_t start = grid.column_starts[grid.origins[2 * n + 1]];
  // Quads of the map and not of the tile, which may begin anywhere: the map is read and written.
  const std::int32_t x =
      start / kQuad * kQuad + static_cast<std::int32_t>(blockIdx.x * blockDim.x + threadIdx.x) * kQuad;
  if (x >= start + grid.tile_width || y >= grid.height || x >= grid.width) return;
  Sums sums;
  float own[kQuad] = {};
  for_each_tile(grid, weights, y, x, kQuad, [&](std::int32_t other, std::int32_t, std::int32_t tile_x, float row) {
    for (std::int32_t k = 0; k < kQuad; ++k) {
      if (tile_x + k < 0 || tile_x + k >= grid.tile_width) continue;
      const float weight = row * weights[grid.tile_height + tile_x + k];
      sums.total[k] += weight;
      if (other == n) own[k] = weight;
      ++sums.count[k];
    }
  });
  float values[kQuad] = {};
  float sum[kQuad] = {};
  load_quad(tile.data + channel * tile.strides[0] + tile_y * tile.strides[1], tile.strides[2], x - start,
            grid.tile_width, values);
  float* row = map.data + channel * map.strides[0] + y * map.strides[1];
  load_quad(row, map.strides[2], x, grid.width, sum);
  for (std::int32_t k = 0; k < kQuad; ++k) {
    if (x + k < start || x + k >= start + grid.tile_width) continue;
    sum[k] = sums.count[k] == 1 ? values[k] : sum[k] + own[k] / sums.total[k] * values[k];
  }
  store_quad(row, map.strides[2], x, grid.width, sum);
}

__global__ void clear_outside(TensorView<const std::uint8_t, 2> mask, DeviceGrid grid, TensorView<float, 3> map) {
  const auto x = static_cast<std::int32_t>(blockIdx.x * blockDim.x + threadIdx.x);
  const auto y = static_cast<std::int32_t>(blockIdx.y);
  if (x >= grid.width || is_kept(mask, grid, y, x)) return;
  map.data[blockIdx.z * map.strides[0] + y * map.strides[1] + x * map.strides[2]] = 0.0F;
}

/// Blocks for a thread per pixel, or quad, of [channels, height, width].
dim3 pixel_blocks(std::int64_t channels, std::int64_t height, std::int64_t width) {
  constexpr std::int64_t kMostRows = 65535;  // of a CUDA grid's second and third axes
  require_argument(channels <= kMostRows && height <= kMostRows, "map of ", channels, " channels and ", height,
                   " rows; on a GPU at most ", kMostRows, " of each");
  return dim3(static_cast<unsigned>((width + kThreadsPerBlock - 1) / kThreadsPerBlock), static_cast<unsigned>(height),
              static_cast<unsigned>(channels));
}

}  // namespace

std::vector<float> blend_weights(const TileGrid& grid, TileWeights weights) {
  std::vector<float> result;
  for (const std::int64_t side : grid.tile_shape) {
    for (std::int64_t k = 0; k < side; ++k) result.push_back(tile_weight(weights, k, side));
  }
  return result;
}

void enqueue_blend_tiles(TensorView<const float, 4> tiles, const DeviceGrid& grid, const float* weights,
                         TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map, Stream stream) {
  LCX_LAUNCH(blend, pixel_blocks(map.shape[0], map.shape[1], quads_of(map.shape[2])), kThreadsPerBlock, 0,
             to_cuda(stream), tiles, grid, weights, mask, map);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_add_tile(TensorView<const float, 3> tile, std::int32_t n, const DeviceGrid& grid, const float* weights,
                      TensorView<float, 3> map, Stream stream) {
  // One quad more: a tile may begin within one of the map's.
  LCX_LAUNCH(add_tile, pixel_blocks(tile.shape[0], tile.shape[1], quads_of(tile.shape[2]) + 1), kThreadsPerBlock, 0,
             to_cuda(stream), tile, n, grid, weights, map);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_clear_outside(TensorView<const std::uint8_t, 2> mask, const DeviceGrid& grid, TensorView<float, 3> map,
                           Stream stream) {
  if (mask.data == nullptr) return;
  LCX_LAUNCH(clear_outside, pixel_blocks(map.shape[0], map.shape[1], map.shape[2]), kThreadsPerBlock, 0,
             to_cuda(stream), mask, grid, map);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void blend_tiles(TensorView<const float, 4> tiles, const TileGrid& grid, TileWeights weights,
                 TensorView<const std::uint8_t, 2> mask, TensorView<float, 3> map, Stream stream) {
  const DeviceGuard guard(map.device);
  const std::vector<std::int32_t> table = grid_table(grid);
  const std::vector<float> values = blend_weights(grid, weights);
  Workspace counter;
  counter.take<std::int32_t>(static_cast<std::int64_t>(table.size()));
  counter.take<float>(static_cast<std::int64_t>(values.size()));
  const Scratch scratch(counter.peak(), map.device, stream);
  Workspace workspace = scratch.workspace();
  auto* device_table = workspace.take<std::int32_t>(static_cast<std::int64_t>(table.size()));
  auto* device_weights = workspace.take<float>(static_cast<std::int64_t>(values.size()));
  upload(device_table, table.data(), table.size() * sizeof(std::int32_t), stream);
  upload(device_weights, values.data(), values.size() * sizeof(float), stream);
  enqueue_blend_tiles(tiles, device_grid(grid, device_table), device_weights, mask, map, stream);
}

}  // namespace lcx::cuda
