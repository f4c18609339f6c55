#include "ops/blend_tiles/blend_tiles_cuda.cuh"
#include "ops/blend_tiles/device_blender.hpp"

namespace lcx::cuda {

struct TileBlender::State {
  State(const TileGrid& grid, TensorView<float, 3> target, Stream on, std::size_t bytes)
      : map(target), stream(on), scratch(bytes, target.device, on), table(grid_table(grid)) {}

  TensorView<float, 3> map;
  Stream stream;
  Scratch scratch;
  std::vector<std::int32_t> table;
  DeviceGrid grid;
  const float* weights = nullptr;
};

TileBlender::TileBlender(const TileGrid& grid, TileWeights weights, TensorView<float, 3> map, Stream stream) {
  const DeviceGuard guard(map.device);
  const std::vector<float> values = blend_weights(grid, weights);
  Workspace counter;
  counter.take<std::int32_t>(grid_table_size(grid));
  counter.take<float>(static_cast<std::int64_t>(values.size()));
  state_ = std::make_unique<State>(grid, map, stream, counter.peak());
  Workspace workspace = state_->scratch.workspace();
  auto* table = workspace.take<std::int32_t>(grid_table_size(grid));
  auto* device_weights = workspace.take<float>(static_cast<std::int64_t>(values.size()));
  upload(table, state_->table.data(), state_->table.size() * sizeof(std::int32_t), stream);
  upload(device_weights, values.data(), values.size() * sizeof(float), stream);
  state_->grid = device_grid(grid, table);
  state_->weights = device_weights;
  for (std::int64_t channel = 0; channel < map.shape[0] && !map.empty(); ++channel) {
    const auto pitch = static_cast<std::size_t>(map.strides[1]) * sizeof(float);
    LCX_CUDA_CHECK(cudaMemset2DAsync(map.data + channel * map.strides[0], pitch, 0,
                                     static_cast<std::size_t>(map.shape[2]) * sizeof(float),
                                     static_cast<std::size_t>(map.shape[1]), to_cuda(stream)));
  }
}

TileBlender::~TileBlender() = default;

void TileBlender::add(std::int64_t n, TensorView<const float, 3> tile) const {
  const DeviceGuard guard(state_->map.device);
  enqueue_add_tile(tile, static_cast<std::int32_t>(n), state_->grid, state_->weights, state_->map, state_->stream);
}

void TileBlender::clear_outside(TensorView<const std::uint8_t, 2> mask) const {
  const DeviceGuard guard(state_->map.device);
  enqueue_clear_outside(mask, state_->grid, state_->map, state_->stream);
}

}  // namespace lcx::cuda
