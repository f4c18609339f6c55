// A thread takes four neighbouring pixels of a tile; of each it averages the few image pixels that it covers, in the
// CPU's order of operations, down and then across. Neighbouring threads read neighbouring pixels, so an image row comes
// from memory once and is shared through the first-level cache; where tiles overlap the second-level cache answers.
// Image pixels are read once (2 bytes each for uint16) and tile pixels written once (4 bytes), four at a time where
// they lie so.

#include "core/pixel_types.hpp"
#include "core/quads.cuh"
#include "ops/extract_tiles/extract_tiles_cuda.cuh"
#include "ops/extract_tiles/extract_tiles_impl.hpp"

namespace lcx::cuda {
namespace {

struct Finish {
  bool normalise;
  AffineClip clip;
  float dark;
};

template <typename T>
__device__ inline float column_mean(const TensorView<const T, 2>& image, const Taps& rows, std::int64_t x) {
  const T* at = image.data + rows.first * image.strides[0] + x * image.strides[1];
  float sum = rows.first_weight * static_cast<float>(*at);
  for (std::int64_t k = 1; k + 1 < rows.count; ++k) sum += static_cast<float>(at[k * image.strides[0]]);
  if (rows.count == 1) return sum;
  return (sum + rows.last_weight * static_cast<float>(at[(rows.count - 1) * image.strides[0]])) * rows.scale;
}

template <typename T>
__device__ inline float area_mean(const TensorView<const T, 2>& image, const DeviceGrid& grid, std::int64_t y,
                                  std::int64_t x) {
  const Taps rows = area_taps(y, grid.scale_y, grid.image_height);
  const Taps columns = area_taps(x, grid.scale_x, grid.image_width);
  float sum = column_mean(image, rows, columns.first) * columns.first_weight;
  for (std::int64_t k = 1; k + 1 < columns.count; ++k) sum += column_mean(image, rows, columns.first + k);
  if (columns.count == 1) return sum;
  return (sum + column_mean(image, rows, columns.first + columns.count - 1) * columns.last_weight) * columns.scale;
}

template <typename T>
__global__ void cut(TensorView<const T, 2> image, DeviceGrid grid, Finish finish,
                    TensorView<const std::uint8_t, 2> mask, std::int32_t first, TensorView<float, 4> tiles) {
  const auto x = static_cast<std::int32_t>(blockIdx.x * blockDim.x + threadIdx.x) * kQuad;
  const auto y = static_cast<std::int32_t>(blockIdx.y);
  const auto n = static_cast<std::int32_t>(blockIdx.z);
  const std::int32_t* origin = grid.origins + 2 * (first + n);
  if (x >= grid.tile_width || first + n >= grid.rows * grid.columns || origin[0] < 0) return;
  const std::int64_t grid_y = grid.row_starts[origin[0]] + y;
  const std::int64_t grid_x = grid.column_starts[origin[1]] + x;
  float values[kQuad];
  for (std::int32_t k = 0; k < kQuad; ++k) {
    values[k] = finish.dark;
    // A tile may end behind the image, and a quad behind its tile.
    if (x + k >= grid.tile_width || grid_y >= grid.height || grid_x + k >= grid.width) continue;
    if (!is_kept(mask, grid, grid_y, grid_x + k)) continue;
    const float mean = area_mean(image, grid, grid_y, grid_x + k);
    values[k] = finish.normalise ? apply(finish.clip, mean) : mean;
  }
  store_quad(tiles.data + n * tiles.strides[0] + y * tiles.strides[2], tiles.strides[3], x, grid.tile_width, values);
}

}  // namespace

template <typename T>
void enqueue_extract_tiles(TensorView<const T, 2> image, const DeviceGrid& grid,
                           const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
                           std::int32_t first, TensorView<float, 4> tiles, Stream stream) {
  constexpr std::int64_t kMostRows = 65535;  // of a CUDA grid's second and third axes
  require_argument(tiles.shape[0] <= kMostRows && tiles.shape[2] <= kMostRows, "tiles are ", shape_text(tiles.shape),
                   "; on a GPU at most ", kMostRows, " tiles of as many rows");
  Finish finish{normalisation.has_value(), {}, 0.0F};
  if (normalisation) {
    finish.clip = affine_clip(*normalisation);
    finish.dark = finish.clip.bias;
  }
  const dim3 blocks(static_cast<unsigned>((quads_of(grid.tile_width) + kThreadsPerBlock - 1) / kThreadsPerBlock),
                    static_cast<unsigned>(tiles.shape[2]), static_cast<unsigned>(tiles.shape[0]));
  LCX_LAUNCH(cut<T>, blocks, kThreadsPerBlock, 0, to_cuda(stream), image, grid, finish, mask, first, tiles);
  LCX_CUDA_CHECK(cudaGetLastError());
}

template <typename T>
void extract_tiles(TensorView<const T, 2> image, const TileGrid& grid,
                   const std::optional<Normalisation>& normalisation, TensorView<const std::uint8_t, 2> mask,
                   TensorView<float, 4> tiles, Stream stream) {
  const DeviceGuard guard(image.device);
  const std::vector<std::int32_t> table = grid_table(grid);
  const Scratch scratch(table.size() * sizeof(std::int32_t), image.device, stream);
  upload(scratch.data(), table.data(), table.size() * sizeof(std::int32_t), stream);
  enqueue_extract_tiles(image, device_grid(grid, static_cast<const std::int32_t*>(scratch.data())), normalisation, mask,
                        0, tiles, stream);
}

#define LCX_INSTANTIATE(T)                                                                                       \
  template void enqueue_extract_tiles<T>(TensorView<const T, 2>, const DeviceGrid&,                              \
                                         const std::optional<Normalisation>&, TensorView<const std::uint8_t, 2>, \
                                         std::int32_t, TensorView<float, 4>, Stream);                            \
  template void extract_tiles<T>(TensorView<const T, 2>, const TileGrid&, const std::optional<Normalisation>&,   \
                                 TensorView<const std::uint8_t, 2>, TensorView<float, 4>, Stream);
LCX_FOR_EACH_PIXEL_TYPE(LCX_INSTANTIATE)

}  // namespace lcx::cuda
