#include <algorithm>
#include <cstddef>
#include <cstring>
#include <list>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "core/cuda_support.cuh"
#include "core/parallel_for.hpp"
#include "engine/cuda_graph.hpp"
#include "line/cut_tiles.cuh"
#include "line/device_line.hpp"
#include "line/line_memory.cuh"
#include "ops/blend_tiles/blend_tiles_cuda.cuh"
#include "ops/extract_tiles/extract_tiles_cuda.cuh"
#include "ops/find_lesions/find_lesions_cuda.hpp"

namespace lcx {
namespace {

/// Sizes kept ready: an exam has films of one or two, a day's work of a few.
constexpr std::size_t kMostSizes = 4;
/// Second halves kept ready for one size: numbers of tiles that meet a breast.
constexpr std::size_t kMostPatterns = 16;
/// Bytes copied to pinned memory before they are sent off.
constexpr std::int64_t kPieceBytes = 2 << 20;

/// What the first half's graph depends on.
struct SizeKey {
  std::array<std::int64_t, 2> shape;
  std::array<double, 2> coarse_scale;
  std::array<double, 2> grid_scale;
  int pixel_type;

  friend bool operator==(const SizeKey&, const SizeKey&) = default;
};

/// What the second half's graph depends on besides: the number of tiles, the mask's shape, what counts as a lesion.
using PatternKey = std::tuple<std::int64_t, std::int64_t, std::int64_t, float, float, std::int64_t, bool>;

/// A second half, and where it leaves its lesions on the device.
struct SecondHalf {
  std::unique_ptr<CudaGraph> graph;
  cuda::DeviceLesions lesions;
};

/// What changes from film to film of one size lies in one block of memory, to be uploaded in one go: the normalisation,
/// the grid's table, the mask.
struct FilmLayout {
  std::size_t table;
  std::size_t mask;
  std::size_t bytes;

  FilmLayout(std::int64_t table_size, std::int64_t mask_size)
      : table(16 * ((sizeof(AffineClip) + 15) / 16)),
        mask(table + static_cast<std::size_t>(table_size) * sizeof(std::int32_t)),
        bytes(mask + static_cast<std::size_t>(mask_size)) {}
};

/// The grid of an image on which it is one tile.
TileGrid whole_grid(std::array<std::int64_t, 2> image_shape, std::array<double, 2> scale) {
  TileGrid grid;
  grid.image_shape = image_shape;
  grid.scale = scale;
  grid.shape = grid.tile_shape = grid_shape(image_shape, scale);
  grid.row_starts = grid.column_starts = {0};
  grid.present = {1};
  return grid;
}

/// A film size with its memory and its graphs.
struct Size {
  SizeKey key;
  TileGrid coarse_grid, whole_grid;
  PinnedMemory pixels_host, coarse_host, film_host, maps_host, lesions_host;
  DeviceMemory pixels, coarse, averages, one_tile_table, film, tiles, outputs, maps, weights, scratch;
  std::int64_t most_tiles = 0;
  std::size_t film_bytes = 0;
  std::unique_ptr<CudaGraph> average;
  std::size_t scratch_bytes = 0;
  std::map<PatternKey, SecondHalf> infer;
};

template <typename T>
constexpr int kPixelType = (std::is_floating_point_v<T> ? 16 : 0) + (std::is_signed_v<T> ? 8 : 0) + int{sizeof(T)};

std::size_t bytes_of(std::array<std::int64_t, 2> shape, std::size_t item) {
  return static_cast<std::size_t>(shape[0] * shape[1]) * item;
}

template <typename T>
void gather_row(TensorView<const T, 2> image, std::int64_t y, T* to) {
  if (image.has_dense_rows()) {
    std::memcpy(to, image.row(y), static_cast<std::size_t>(image.shape[1]) * sizeof(T));
    return;
  }
  for (std::int64_t x = 0; x < image.shape[1]; ++x) to[x] = image(y, x);
}

/// A stream of its own, which waits for no other.
class OwnStream {
 public:
  explicit OwnStream(Device device) {
    const DeviceGuard guard(device);
    cudaStream_t stream = nullptr;
    LCX_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    stream_.handle = stream;
  }
  ~OwnStream() { cudaStreamDestroy(to_cuda(stream_)); }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  Stream get() const { return stream_; }

 private:
  Stream stream_;
};

}  // namespace

struct DeviceLine::State {
  DeviceNetwork& network;
  Device device;
  TileWeights weights;
  int threads;
  OwnStream own_stream;
  Stream stream;
  std::list<Size> sizes;  // most recently used first
  bool network_is_warm = false;
  std::int64_t recorded = 0;

  State(DeviceNetwork& net, Device where, TileWeights how, int most_threads)
      : network(net), device(where), weights(how), threads(most_threads), own_stream(where), stream(own_stream.get()) {}

  ~State() {
    // Whatever failed before, nothing may run on the memory that goes away now.
    cudaStreamSynchronize(to_cuda(stream));
    network.forget(stream);
  }

  Size& size_for(const SizeKey& key, std::size_t item);
  template <typename T>
  void send(TensorView<const T, 2> image, const Size& size) const;
  template <typename T>
  void enqueue_average(TensorView<const T, 2> pixels, const TileGrid& grid, const DeviceMemory& table,
                       const DeviceMemory& to) const {
    const TensorView<float, 4> averages(to.as<float>(), {1, 1, grid.shape[0], grid.shape[1]}, device);
    cuda::enqueue_extract_tiles(pixels, device_grid(grid, table.as<std::int32_t>()), std::nullopt, {}, 0, averages,
                                stream);
  }
  void grow(Size& size, const TileGrid& grid, std::size_t film_bytes);
  cuda::DeviceLesions enqueue_infer(const TileGrid& grid, std::array<std::int64_t, 2> mask_shape,
                                    const LesionOptions& options, const Size& size) const;
  void warm_up(const Size& size);
  void run(const CudaGraph& graph) const {
    graph.launch(stream);
    LCX_CUDA_CHECK(cudaStreamSynchronize(to_cuda(stream)));
  }
};

Size& DeviceLine::State::size_for(const SizeKey& key, std::size_t item) {
  const auto found = std::find_if(sizes.begin(), sizes.end(), [&](const Size& size) { return size.key == key; });
  if (found != sizes.end()) {
    sizes.splice(sizes.begin(), sizes, found);
    return sizes.front();
  }
  if (sizes.size() >= kMostSizes) sizes.pop_back();
  Size size{};
  size.key = key;
  size.coarse_grid = whole_grid(key.shape, key.coarse_scale);
  size.whole_grid = whole_grid(key.shape, key.grid_scale);
  size.pixels_host = PinnedMemory(bytes_of(key.shape, item), device);
  size.pixels = DeviceMemory(bytes_of(key.shape, item), device);
  size.coarse_host = PinnedMemory(bytes_of(size.coarse_grid.shape, sizeof(float)), device);
  size.coarse = DeviceMemory(bytes_of(size.coarse_grid.shape, sizeof(float)), device);
  size.averages = DeviceMemory(bytes_of(size.whole_grid.shape, sizeof(float)), device);
  // Every grid of one tile has the same table.
  const std::vector<std::int32_t> table = grid_table(size.whole_grid);
  size.one_tile_table = DeviceMemory(table.size() * sizeof(std::int32_t), device);
  upload(size.one_tile_table.as<void>(), table.data(), table.size() * sizeof(std::int32_t), stream);
  const auto channels = static_cast<std::size_t>(network.output_shape()[1]);
  size.maps_host = PinnedMemory(channels * bytes_of(size.whole_grid.shape, sizeof(float)), device);
  size.maps = DeviceMemory(channels * bytes_of(size.whole_grid.shape, sizeof(float)), device);
  size.scratch_bytes = cuda::find_lesions_workspace_bytes(size.whole_grid.shape[0], size.whole_grid.shape[1], {});
  size.scratch = DeviceMemory(size.scratch_bytes, device);
  size.lesions_host = PinnedMemory(size.scratch_bytes, device);  // at least what the lesions take of it
  sizes.push_front(std::move(size));
  return sizes.front();
}

template <typename T>
void DeviceLine::State::send(TensorView<const T, 2> image, const Size& size) const {
  const std::int64_t width = image.shape[1];
  const std::int64_t piece = std::max<std::int64_t>(1, kPieceBytes / (width * static_cast<std::int64_t>(sizeof(T))));
  T* const host = size.pixels_host.as<T>();
  T* const target = size.pixels.as<T>();
  parallel_for(image.shape[0], piece, threads, [&](std::int64_t begin, std::int64_t end) {
    const DeviceGuard guard(device);
    for (std::int64_t first = begin; first < end; first += piece) {
      const std::int64_t last = std::min(first + piece, end);
      for (std::int64_t y = first; y < last; ++y) gather_row(image, y, host + y * width);
      LCX_CUDA_CHECK(cudaMemcpyAsync(target + first * width, host + first * width,
                                     static_cast<std::size_t>((last - first) * width) * sizeof(T),
                                     cudaMemcpyHostToDevice, to_cuda(stream)));
    }
  });
}

DeviceLine::DeviceLine(DeviceNetwork& network, Device device, TileWeights weights, int threads) {
  require_argument(network.input_shape()[0] == 1 && network.input_shape()[1] == 1 && network.output_shape()[0] == 1,
                   "the network's input is ", shape_text(network.input_shape()), " and its output ",
                   shape_text(network.output_shape()), "; needed: [1, 1, h, w] and [1, C, h, w]");
  state_ = std::make_unique<State>(network, device, weights, threads);
}

DeviceLine::~DeviceLine() = default;

std::int64_t DeviceLine::graphs_recorded() const { return state_->recorded; }

template <typename T>
void DeviceLine::average(TensorView<const T, 2> image, std::array<double, 2> coarse_scale,
                         std::array<double, 2> grid_scale, TensorView<float, 2> coarse) {
  State& s = *state_;
  require_argument(!image.empty(), "image is empty");
  const DeviceGuard guard(s.device);
  cudaGetLastError();  // an error that somebody else's call left on this thread is not ours
  const SizeKey key{image.shape, coarse_scale, grid_scale, kPixelType<T>};
  Size& size = s.size_for(key, sizeof(T));
  require_argument(
      coarse.shape == size.coarse_grid.shape && coarse.strides[1] == 1 && coarse.strides[0] == coarse.shape[1],
      "coarse is ", shape_text(coarse.shape), "; needed: ", shape_text(size.coarse_grid.shape), ", dense");
  s.send(image, size);
  if (size.average == nullptr) {
    const std::size_t bytes = bytes_of(size.coarse_grid.shape, sizeof(float));
    size.average = std::make_unique<CudaGraph>(s.device, s.stream, [&] {
      const TensorView<const T, 2> pixels(size.pixels.as<T>(), key.shape, s.device);
      s.enqueue_average(pixels, size.coarse_grid, size.one_tile_table, size.coarse);
      LCX_CUDA_CHECK(cudaMemcpyAsync(size.coarse_host.as<float>(), size.coarse.as<float>(), bytes,
                                     cudaMemcpyDeviceToHost, to_cuda(s.stream)));
      s.enqueue_average(pixels, size.whole_grid, size.one_tile_table, size.averages);
    });
    ++s.recorded;
  }
  s.run(*size.average);
  std::memcpy(coarse.data, size.coarse_host.as<float>(), bytes_of(size.coarse_grid.shape, sizeof(float)));
}

void DeviceLine::State::grow(Size& size, const TileGrid& grid, std::size_t film_bytes) {
  const auto most_tiles = static_cast<std::int64_t>(grid.present.size());
  if (most_tiles <= size.most_tiles && film_bytes <= size.film_bytes) return;
  size.infer.clear();  // they name the memory that goes away
  const auto pixels = static_cast<std::size_t>(grid.tile_shape[0] * grid.tile_shape[1]);
  const auto channels = static_cast<std::size_t>(network.output_shape()[1]);
  size.most_tiles = std::max(size.most_tiles, most_tiles);
  size.film_bytes = std::max(size.film_bytes, film_bytes);
  const std::size_t tile_bytes = static_cast<std::size_t>(size.most_tiles) * pixels * sizeof(float);
  size.tiles = DeviceMemory(tile_bytes, device);
  size.outputs = DeviceMemory(channels * tile_bytes, device);
  size.film = DeviceMemory(size.film_bytes, device);
  size.film_host = PinnedMemory(size.film_bytes, device);
  const std::vector<float> values = cuda::blend_weights(grid, weights);
  size.weights = DeviceMemory(values.size() * sizeof(float), device);
  upload(size.weights.as<void>(), values.data(), values.size() * sizeof(float), stream);
}

/// The network's first run on a stream may allocate, which no graph can hold.
void DeviceLine::State::warm_up(const Size& size) {
  if (network_is_warm) return;
  LCX_CUDA_CHECK(cudaMemsetAsync(size.tiles.as<float>(), 0,
                                 static_cast<std::size_t>(network.input_shape()[2] * network.input_shape()[3]) * 4,
                                 to_cuda(stream)));
  network.enqueue(size.tiles.as<float>(), size.outputs.as<float>(), stream);
  LCX_CUDA_CHECK(cudaStreamSynchronize(to_cuda(stream)));
  network_is_warm = true;
}

cuda::DeviceLesions DeviceLine::State::enqueue_infer(const TileGrid& grid, std::array<std::int64_t, 2> mask_shape,
                                                     const LesionOptions& options, const Size& size) const {
  const std::int64_t tiles = grid.tile_count();
  const auto [height, width] = grid.tile_shape;
  const std::int64_t channels = network.output_shape()[1];
  const FilmLayout layout(grid_table_size(grid), mask_shape[0] * mask_shape[1]);
  auto* film = size.film.as<char>();
  LCX_CUDA_CHECK(
      cudaMemcpyAsync(film, size.film_host.as<char>(), layout.bytes, cudaMemcpyHostToDevice, to_cuda(stream)));
  const DeviceGrid on_device = device_grid(grid, reinterpret_cast<const std::int32_t*>(film + layout.table));
  const TensorView<const std::uint8_t, 2> mask(reinterpret_cast<std::uint8_t*>(film + layout.mask), mask_shape, device);
  const TensorView<float, 4> inputs(size.tiles.as<float>(), {tiles, 1, height, width}, device);
  const TensorView<float, 4> outputs(size.outputs.as<float>(), {tiles, channels, height, width}, device);
  const TensorView<float, 3> maps(size.maps.as<float>(), {channels, grid.shape[0], grid.shape[1]}, device);
  enqueue_cut_tiles({size.averages.as<float>(), grid.shape, device}, on_device,
                    reinterpret_cast<const AffineClip*>(film), mask, inputs, stream);
  for (std::int64_t n = 0; n < tiles; ++n) {
    network.enqueue(inputs.data + n * inputs.strides[0], outputs.data + n * outputs.strides[0], stream);
  }
  cuda::enqueue_blend_tiles(outputs, on_device, size.weights.as<float>(), mask, maps, stream);
  Workspace workspace(size.scratch.as<void>(), size.scratch_bytes);
  const TensorView<const float, 2> first(maps.data, grid.shape, device);
  const cuda::DeviceLesions found = cuda::enqueue_find_lesions(first, options, {}, workspace, stream);
  LCX_CUDA_CHECK(cudaMemcpyAsync(size.maps_host.as<void>(), maps.data,
                                 static_cast<std::size_t>(maps.size()) * sizeof(float), cudaMemcpyDeviceToHost,
                                 to_cuda(stream)));
  LCX_CUDA_CHECK(
      cudaMemcpyAsync(size.lesions_host.as<void>(), found.data, found.bytes, cudaMemcpyDeviceToHost, to_cuda(stream)));
  return found;
}

/// Lays what changes from film to film into pinned memory.
void write_film(const TileGrid& grid, const Normalisation& normalisation, TensorView<const std::uint8_t, 2> mask,
                const FilmLayout& layout, char* to) {
  const AffineClip clip = affine_clip(normalisation);
  std::memcpy(to, &clip, sizeof(clip));
  const std::vector<std::int32_t> table = grid_table(grid);
  std::memcpy(to + layout.table, table.data(), table.size() * sizeof(std::int32_t));
  auto* row = reinterpret_cast<std::uint8_t*>(to + layout.mask);
  for (std::int64_t y = 0; y < mask.shape[0]; ++y, row += mask.shape[1]) gather_row(mask, y, row);
}

Lesions DeviceLine::infer(const TileGrid& grid, const Normalisation& normalisation,
                          TensorView<const std::uint8_t, 2> mask, const LesionOptions& lesions,
                          TensorView<float, 3> maps) {
  State& s = *state_;
  require_argument(
      !s.sizes.empty() && grid.image_shape == s.sizes.front().key.shape && grid.scale == s.sizes.front().key.grid_scale,
      "the grid is not that of the image last averaged");
  Size& size = s.sizes.front();
  const auto& tile = s.network.input_shape();
  require_argument(grid.tile_shape[0] == tile[2] && grid.tile_shape[1] == tile[3], "tiles are ",
                   shape_text(grid.tile_shape), "; the network's input is ", shape_text(tile));
  require_argument(!mask.empty(), "mask is empty");
  const std::array<std::int64_t, 3> maps_shape{s.network.output_shape()[1], grid.shape[0], grid.shape[1]};
  require_argument(maps.shape == maps_shape && maps.strides == TensorView<float, 3>(nullptr, maps_shape).strides,
                   "maps is ", shape_text(maps.shape), "; needed: ", shape_text(maps_shape), ", dense");
  require_argument(normalisation.high > normalisation.low && normalisation.deviation > 0, "normalisation: low ",
                   normalisation.low, ", high ", normalisation.high, ", deviation ", normalisation.deviation);
  const TensorView<const float, 2> first_map(maps.data, grid.shape);
  if (grid.tile_count() == 0) {
    std::fill_n(maps.data, maps.size(), 0.0F);
    return find_lesions(first_map, lesions, s.threads);
  }
  find_lesions(TensorView<const float, 2>{}, lesions);  // checks the options
  const FilmLayout layout(grid_table_size(grid), mask.size());
  const DeviceGuard guard(s.device);
  s.grow(size, grid, layout.bytes);
  s.warm_up(size);
  write_film(grid, normalisation, mask, layout, size.film_host.as<char>());
  if (size.infer.size() >= kMostPatterns) size.infer.clear();
  const PatternKey key{grid.tile_count(), mask.shape[0],    mask.shape[1],     lesions.low,
                       lesions.high,      lesions.min_area, lesions.fill_holes};
  SecondHalf& half = size.infer[key];
  if (half.graph == nullptr) {
    half.graph = std::make_unique<CudaGraph>(s.device, s.stream,
                                             [&] { half.lesions = s.enqueue_infer(grid, mask.shape, lesions, size); });
    ++s.recorded;
  }
  s.run(*half.graph);
  std::memcpy(maps.data, size.maps_host.as<float>(), static_cast<std::size_t>(maps.size()) * sizeof(float));
  cuda::LesionCapacity needed;
  auto found = cuda::lesions_on_host(half.lesions, size.lesions_host.as<void>(), needed);
  return found ? std::move(*found) : find_lesions(first_map, lesions, s.threads);
}

template void DeviceLine::average(TensorView<const std::uint8_t, 2>, std::array<double, 2>, std::array<double, 2>,
                                  TensorView<float, 2>);
template void DeviceLine::average(TensorView<const std::uint16_t, 2>, std::array<double, 2>, std::array<double, 2>,
                                  TensorView<float, 2>);
template void DeviceLine::average(TensorView<const std::int16_t, 2>, std::array<double, 2>, std::array<double, 2>,
                                  TensorView<float, 2>);
template void DeviceLine::average(TensorView<const float, 2>, std::array<double, 2>, std::array<double, 2>,
                                  TensorView<float, 2>);

}  // namespace lcx
