#include <algorithm>
#include <vector>

#include "line/film_size.cuh"
#include "ops/blend_tiles/blend_tiles_cuda.cuh"
#include "ops/breast_mask/breast_mask_cuda.cuh"
#include "ops/percentiles/percentiles_cuda.cuh"
#include "ops/resample/resample_cuda.cuh"

namespace lcx {
namespace {

std::size_t bytes_of(std::array<std::int64_t, 2> shape, std::size_t item) {
  return static_cast<std::size_t>(shape[0] * shape[1]) * item;
}

/// Starts of tiles and ranges of the mask, and room for the tiles' origins; `layout` points into it.
std::vector<std::int32_t> make_table(const TileGrid& grid, std::array<std::int64_t, 2> mask_shape) {
  std::vector<std::int32_t> table;
  for (const auto start : grid.row_starts) table.push_back(static_cast<std::int32_t>(start));
  for (const auto start : grid.column_starts) table.push_back(static_cast<std::int32_t>(start));
  for (const std::size_t axis : {0, 1}) {
    for (const auto& range : mask_ranges(grid, axis, mask_shape[axis])) {
      for (const auto end : range) table.push_back(static_cast<std::int32_t>(end));
    }
  }
  table.resize(table.size() + 2 * grid.present.size(), 0);
  return table;
}

GridLayout make_layout(const TileGrid& grid, std::int32_t* table, std::int32_t* numbers) {
  GridLayout layout;
  layout.grid = device_grid(grid, table);
  layout.ranges.rows = layout.grid.column_starts + layout.grid.columns;
  layout.ranges.columns = layout.ranges.rows + 2 * std::int64_t{layout.grid.rows};
  layout.tiles = numbers;
  layout.origins = table + 3 * (std::int64_t{layout.grid.rows} + layout.grid.columns);
  layout.grid.tiles = layout.tiles;
  layout.grid.origins = layout.origins;
  return layout;
}

/// The steps follow one another, so they share it.
std::size_t scratch_bytes(std::array<std::int64_t, 2> coarse, std::array<std::int64_t, 2> grid) {
  return std::max({cuda::breast_mask_workspace_bytes(coarse[0], coarse[1]), cuda::percentiles_workspace_bytes(),
                   cuda::find_lesions_workspace_bytes(grid[0], grid[1], {})});
}

}  // namespace

FilmSize::FilmSize(const FilmSizeKey& key, std::size_t pixel_bytes, DeviceNetwork& network, TileWeights weights,
                   Device device, Stream stream)
    : key_(key), device_(device), stream_(stream), channels_(network.output_shape()[1]) {
  const FilmSettings& settings = key_.settings;
  const std::array<std::int64_t, 2> tile_shape{network.input_shape()[2], network.input_shape()[3]};
  grid_ = plan_tiles(key_.shape, settings.grid_scale, tile_shape, settings.overlap, {});
  coarse_shape_ = grid_shape(key_.shape, settings.coarse_scale);
  const auto word = static_cast<std::int64_t>(16 / pixel_bytes);
  row_step_ = (key_.shape[1] + word - 1) / word * word;
  const std::size_t image_bytes = bytes_of({key_.shape[0], row_step_}, pixel_bytes);
  const std::size_t tile_bytes = bytes_of(tile_shape, sizeof(float));
  const auto channels = static_cast<std::size_t>(channels_);
  numbers_at_ = (sizeof(FilmFindings) + 15) / 16 * 16;
  mask_at_ = numbers_at_ + grid_.present.size() * sizeof(std::int32_t);
  const std::size_t report_bytes = mask_at_ + bytes_of(coarse_shape_, 1);

  pixels_host_ = PinnedMemory(image_bytes, device);
  pixels_ = DeviceMemory(image_bytes, device);
  coarse_ = DeviceMemory(bytes_of(coarse_shape_, sizeof(float)), device);
  averages_ = DeviceMemory(bytes_of(grid_.shape, sizeof(float)), device);
  report_host_ = PinnedMemory(report_bytes, device);
  report_ = DeviceMemory(report_bytes, device);
  window_ = DeviceMemory(2 * sizeof(double), device);
  index_ = DeviceMemory(sizeof(std::int32_t), device);
  tile_ = DeviceMemory(tile_bytes, device);
  output_ = DeviceMemory(channels * tile_bytes, device);
  outputs_ = DeviceMemory(grid_.present.size() * channels * tile_bytes, device);
  lesions_host_ = PinnedMemory(cuda::lesion_result_bytes({}), device);
  maps_host_ = PinnedMemory(channels * bytes_of(grid_.shape, sizeof(float)), device);
  maps_ = DeviceMemory(channels * bytes_of(grid_.shape, sizeof(float)), device);
  scratch_ = DeviceMemory(scratch_bytes(coarse_shape_, grid_.shape), device);

  const auto send = [&](const auto& values) {
    const std::size_t bytes = values.size() * sizeof(values[0]);
    DeviceMemory memory(bytes, device);
    upload(memory.template as<void>(), values.data(), bytes, stream);
    return memory;
  };
  table_ = send(make_table(grid_, coarse_shape_));
  weights_ = send(cuda::blend_weights(grid_, weights));
  auto* numbers = reinterpret_cast<std::int32_t*>(report_.as<char>() + numbers_at_);
  layout_ = make_layout(grid_, table_.as<std::int32_t>(), numbers);
}

const std::int32_t* FilmSize::tile_numbers() const {
  return reinterpret_cast<const std::int32_t*>(report_host_.as<char>() + numbers_at_);
}

const std::uint8_t* FilmSize::mask() const { return report_host_.as<std::uint8_t>() + mask_at_; }

TensorView<std::uint8_t, 2> FilmSize::device_mask() const {
  return {report_.as<std::uint8_t>() + mask_at_, coarse_shape_, device_};
}

std::optional<Lesions> FilmSize::lesions() const {
  cuda::LesionCapacity needed;
  return cuda::lesions_on_host(lesions_, lesions_host_.as<void>(), needed);
}

std::size_t FilmSize::device_bytes() const {
  std::size_t bytes = 0;
  for (const DeviceMemory* memory : {&pixels_, &coarse_, &averages_, &table_, &report_, &window_, &index_, &tile_,
                                     &output_, &outputs_, &maps_, &weights_, &scratch_}) {
    bytes += memory->bytes();
  }
  return bytes;
}

std::size_t FilmSize::pinned_bytes() const {
  return pixels_host_.bytes() + report_host_.bytes() + maps_host_.bytes() + lesions_host_.bytes();
}

template <typename T>
void FilmSize::enqueue_until_tiles() const {
  const FilmSettings& settings = key_.settings;
  const TensorView<float, 2> coarse(coarse_.as<float>(), coarse_shape_, device_);
  const TensorView<float, 2> averages(averages_.as<float>(), grid_.shape, device_);
  cuda::enqueue_resample<T>(pixels<const T>(), settings.coarse_scale, coarse, stream_);
  cuda::enqueue_resample<T>(pixels<const T>(), settings.grid_scale, averages, stream_);
  Workspace workspace(scratch_.as<void>(), scratch_.bytes());
  {
    const Workspace::Scope scope(workspace);
    cuda::enqueue_breast_mask(coarse, device_mask(), workspace, stream_);
  }
  const Workspace::Scope scope(workspace);
  const std::array<double, 2> ranks{settings.low_percentile, settings.high_percentile};
  cuda::enqueue_percentiles(coarse, device_mask(), cuda::EmptyMask::kEverything, ranks, window_.as<double>(), workspace,
                            stream_);
  enqueue_film_plan(window_.as<double>(), device_mask(), settings.mean, settings.deviation, layout_,
                    report_.as<FilmFindings>(), stream_);
}

void FilmSize::enqueue_tile(DeviceNetwork& network) const {
  const TensorView<float, 4> tile(tile_.as<float>(), {1, 1, grid_.tile_shape[0], grid_.tile_shape[1]}, device_);
  const auto* findings = report_.as<FilmFindings>();
  const auto* index = index_.as<std::int32_t>();
  enqueue_cut_tile({averages_.as<float>(), grid_.shape, device_}, layout_.grid, findings, device_mask(), index, tile,
                   stream_);
  network.enqueue(tile.data, output_.as<float>(), stream_);
  enqueue_keep_output(output_.as<float>(), channels_ * tile.size(), findings, index, outputs_.as<float>(), stream_);
}

void FilmSize::enqueue_after_tiles(const Branch& download, const Branch& measuring) {
  const auto tiles = static_cast<std::int64_t>(grid_.present.size());
  const TensorView<const float, 4> outputs(outputs_.as<float>(),
                                           {tiles, channels_, grid_.tile_shape[0], grid_.tile_shape[1]}, device_);
  const TensorView<float, 3> maps(maps_.as<float>(), {channels_, grid_.shape[0], grid_.shape[1]}, device_);
  cuda::enqueue_blend_tiles(outputs, layout_.grid, weights_.as<float>(), device_mask(), maps, stream_);
  const auto send_down = [](const PinnedMemory& to, const void* from, std::size_t bytes, Stream on) {
    LCX_CUDA_CHECK(cudaMemcpyAsync(to.as<void>(), from, bytes, cudaMemcpyDeviceToHost, to_cuda(on)));
  };
  const Stream beside = download.begin(stream_);
  send_down(report_host_, report_.as<void>(), report_.bytes(), beside);
  send_down(maps_host_, maps.data, static_cast<std::size_t>(maps.size()) * sizeof(float), beside);
  Workspace workspace(scratch_.as<void>(), scratch_.bytes());
  lesions_ = cuda::enqueue_find_lesions({maps.data, grid_.shape, device_}, key_.settings.lesions, {}, workspace,
                                        stream_, &measuring);
  send_down(lesions_host_, lesions_.data, lesions_.bytes, stream_);
  download.end(stream_);
}

void FilmSize::warm_up(DeviceNetwork& network) const {
  LCX_CUDA_CHECK(cudaMemsetAsync(tile_.as<void>(), 0, tile_.bytes(), to_cuda(stream_)));
  network.enqueue(tile_.as<float>(), output_.as<float>(), stream_);
  LCX_CUDA_CHECK(cudaStreamSynchronize(to_cuda(stream_)));
}

template <typename T>
void FilmSize::record(DeviceNetwork& network) {
  const Branch download(device_);
  const Branch measuring(device_);
  CountedLoop loop;
  loop.count = &report_.as<FilmFindings>()->tiles;
  loop.most = static_cast<std::int32_t>(grid_.present.size());
  loop.index = index_.as<std::int32_t>();
  loop.body = [&] { enqueue_tile(network); };
  // Each time: a network may keep something for each thread that asks, and drop it where it failed.
  loop.prepare = [&] { warm_up(network); };
  graph_ = std::make_unique<CudaGraph>(
      device_, stream_, [&] { enqueue_until_tiles<T>(); }, loop, [&] { enqueue_after_tiles(download, measuring); });
}

#define LCX_INSTANTIATE(T) template void FilmSize::record<T>(DeviceNetwork&)
LCX_INSTANTIATE(std::uint8_t);
LCX_INSTANTIATE(std::uint16_t);
LCX_INSTANTIATE(std::int16_t);
LCX_INSTANTIATE(float);

}  // namespace lcx
