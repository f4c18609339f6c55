#include <algorithm>
#include <cmath>
#include <cstring>
#include <list>

#include "core/cuda_support.cuh"
#include "core/own_stream.cuh"
#include "core/parallel_for.hpp"
#include "core/pixel_types.hpp"
#include "line/device_line.hpp"
#include "line/film_size.cuh"

namespace lcx {
namespace {

/// Bytes copied to pinned memory before they are sent off.
constexpr std::int64_t kPieceBytes = 2 << 20;

template <typename T>
void gather_row(TensorView<const T, 2> image, std::int64_t y, T* to) {
  if (image.has_dense_rows()) {
    std::memcpy(to, image.row(y), static_cast<std::size_t>(image.shape[1]) * sizeof(T));
    return;
  }
  for (std::int64_t x = 0; x < image.shape[1]; ++x) to[x] = image(y, x);
}

void check_settings(const FilmSettings& settings) {
  for (const double percentile : {settings.low_percentile, settings.high_percentile}) {
    require_argument(percentile >= 0.0 && percentile <= 100.0, "percentile ", percentile, "; must be within 0 and 100");
  }
  require_argument(std::isfinite(settings.mean) && std::isfinite(settings.deviation) && settings.deviation > 0.0F,
                   "mean ", settings.mean, ", deviation ", settings.deviation,
                   "; both must be finite, the deviation positive");
  find_lesions(TensorView<const float, 2>{}, settings.lesions);  // checks them
}

template <typename T, std::size_t Rank>
void check_output(TensorView<T, Rank> output, std::array<std::int64_t, Rank> shape, const char* name) {
  require_argument(output.shape == shape && output.strides == TensorView<T, Rank>(nullptr, shape).strides, name, " is ",
                   shape_text(output.shape), "; needed: ", shape_text(shape), ", dense");
}

}  // namespace

struct DeviceLine::State {
  DeviceNetwork& network;
  Device device;
  TileWeights weights;
  int threads;
  OwnStream own_stream;
  Stream stream;
  std::list<FilmSize> sizes;  // most recently used first
  std::int64_t recorded = 0;

  State(DeviceNetwork& net, Device where, TileWeights how, int most_threads)
      : network(net), device(where), weights(how), threads(most_threads), own_stream(where), stream(own_stream.get()) {}

  ~State() {
    // Whatever failed before, nothing may run on the memory that goes away now.
    cudaStreamSynchronize(to_cuda(stream));
    network.forget(stream);
  }

  FilmSize& size_for(const FilmSizeKey& key, std::size_t pixel_bytes);
  template <typename T>
  void send(TensorView<const T, 2> image, const FilmSize& size) const;
  template <typename T>
  void record(FilmSize& size);
};

FilmSize& DeviceLine::State::size_for(const FilmSizeKey& key, std::size_t pixel_bytes) {
  const auto found = std::find_if(sizes.begin(), sizes.end(), [&](const FilmSize& size) { return size.key() == key; });
  if (found != sizes.end()) {
    sizes.splice(sizes.begin(), sizes, found);
    return sizes.front();
  }
  if (sizes.size() >= kMostSizes) sizes.pop_back();
  sizes.emplace_front(key, pixel_bytes, network, weights, device, stream);
  return sizes.front();
}

template <typename T>
void DeviceLine::State::send(TensorView<const T, 2> image, const FilmSize& size) const {
  const std::int64_t width = image.shape[1];
  const std::int64_t piece = std::max<std::int64_t>(1, kPieceBytes / (width * static_cast<std::int64_t>(sizeof(T))));
  const TensorView<T, 2> host = size.pixels_host<T>();
  const TensorView<T, 2> target = size.pixels<T>();
  parallel_for(image.shape[0], piece, threads, [&](std::int64_t begin, std::int64_t end) {
    const DeviceGuard guard(device);
    for (std::int64_t first = begin; first < end; first += piece) {
      const std::int64_t last = std::min(first + piece, end);
      for (std::int64_t y = first; y < last; ++y) gather_row(image, y, host.row(y));
      // Rows and what is between them, but for the last one's.
      const std::int64_t count = (last - first - 1) * host.strides[0] + width;
      LCX_CUDA_CHECK(cudaMemcpyAsync(target.row(first), host.row(first), static_cast<std::size_t>(count) * sizeof(T),
                                     cudaMemcpyHostToDevice, to_cuda(stream)));
    }
  });
}

template <typename T>
void DeviceLine::State::record(FilmSize& size) {
  size.record<T>(network);
  ++recorded;
}

DeviceLine::DeviceLine(DeviceNetwork& network, Device device, TileWeights weights, int threads) {
  require_argument(network.input_shape()[0] == 1 && network.input_shape()[1] == 1 && network.output_shape()[0] == 1,
                   "the network's input is ", shape_text(network.input_shape()), " and its output ",
                   shape_text(network.output_shape()), "; needed: [1, 1, h, w] and [1, C, h, w]");
  state_ = std::make_unique<State>(network, device, weights, threads);
}

DeviceLine::~DeviceLine() = default;

std::int64_t DeviceLine::graphs_recorded() const { return state_->recorded; }

bool DeviceLine::counts_tiles() const { return !state_->sizes.empty() && state_->sizes.front().counts_tiles(); }

std::size_t DeviceLine::device_bytes() const {
  std::size_t bytes = 0;
  for (const FilmSize& size : state_->sizes) bytes += size.device_bytes();
  return bytes;
}

std::size_t DeviceLine::pinned_bytes() const {
  std::size_t bytes = 0;
  for (const FilmSize& size : state_->sizes) bytes += size.pinned_bytes();
  return bytes;
}

template <typename T>
FilmResult DeviceLine::run(TensorView<const T, 2> image, const FilmSettings& settings, TensorView<std::uint8_t, 2> mask,
                           TensorView<float, 3> maps) {
  State& s = *state_;
  require_argument(!image.empty(), "image is empty");
  check_settings(settings);
  const DeviceGuard guard(s.device);
  cudaGetLastError();                        // an error that somebody else's call left on this thread is not ours
  constexpr int pixel_type = kPixelType<T>;  // by itself: nvcc misreads it among the others
  FilmSize& size = s.size_for(FilmSizeKey{image.shape, pixel_type, settings}, sizeof(T));
  const auto& map_shape = size.grid().shape;
  check_output(mask, size.coarse_shape(), "mask");
  check_output(maps, {s.network.output_shape()[1], map_shape[0], map_shape[1]}, "maps");
  if (!size.is_recorded()) s.record<T>(size);
  s.send(image, size);
  size.launch();
  LCX_CUDA_CHECK(cudaStreamSynchronize(to_cuda(s.stream)));

  std::memcpy(mask.data, size.mask(), static_cast<std::size_t>(mask.size()));
  std::memcpy(maps.data, size.maps(), static_cast<std::size_t>(maps.size()) * sizeof(float));
  const FilmFindings& findings = size.findings();
  FilmResult result{size.grid(), {findings.low, findings.high, settings.mean, settings.deviation}, {}};
  for (std::size_t n = 0; n < result.grid.present.size(); ++n) {
    result.grid.present[n] = size.tile_numbers()[n] >= 0 ? 1 : 0;
  }
  auto found = size.lesions();
  const TensorView<const float, 2> first_map(maps.data, map_shape);
  result.lesions = found ? std::move(*found) : find_lesions(first_map, settings.lesions, s.threads);
  return result;
}

#define LCX_INSTANTIATE(T)                                                                                      \
  template FilmResult DeviceLine::run(TensorView<const T, 2>, const FilmSettings&, TensorView<std::uint8_t, 2>, \
                                      TensorView<float, 3>);
LCX_FOR_EACH_PIXEL_TYPE(LCX_INSTANTIATE)

}  // namespace lcx
