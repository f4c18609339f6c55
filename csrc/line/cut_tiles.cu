// A thread a pixel, along the rows, so that what a warp reads and writes lies side by side.

#include "line/cut_tiles.cuh"

namespace lcx {
namespace {

__global__ void cut(TensorView<const float, 2> averages, DeviceGrid grid, const AffineClip* clip,
                    TensorView<const std::uint8_t, 2> mask, TensorView<float, 4> tiles) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t pixels = std::int64_t{grid.tile_height} * grid.tile_width;
  if (i >= tiles.shape[0] * pixels) return;
  const std::int32_t* origin = grid.origins + 2 * (i / pixels);
  const std::int64_t y = grid.row_starts[origin[0]] + i % pixels / grid.tile_width;
  const std::int64_t x = grid.column_starts[origin[1]] + i % grid.tile_width;
  // Padding holds what `low` maps to.
  float value = clip->low;
  if (y < grid.height && x < grid.width && is_kept(mask, grid, y, x))
    value = averages.data[y * averages.strides[0] + x];
  tiles.data[i] = apply(*clip, value);
}

}  // namespace

void enqueue_cut_tiles(TensorView<const float, 2> averages, const DeviceGrid& grid, const AffineClip* clip,
                       TensorView<const std::uint8_t, 2> mask, TensorView<float, 4> tiles, Stream stream) {
  LCX_LAUNCH(cut, blocks_for(tiles.size()), kThreadsPerBlock, 0, to_cuda(stream), averages, grid, clip, mask, tiles);
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace lcx
