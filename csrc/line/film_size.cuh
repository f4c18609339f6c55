#pragma once

#include <memory>

#include "core/branch.cuh"
#include "engine/cuda_graph.hpp"
#include "line/device_line.hpp"
#include "line/film_plan.cuh"
#include "line/line_memory.cuh"
#include "ops/find_lesions/find_lesions_cuda.hpp"

namespace lcx {

/// What a graph depends on.
struct FilmSizeKey {
  std::array<std::int64_t, 2> shape;
  int pixel_type;
  FilmSettings settings;

  friend bool operator==(const FilmSizeKey&, const FilmSizeKey&) = default;
};

template <typename T>
constexpr int kPixelType = (std::is_floating_point_v<T> ? 16 : 0) + (std::is_signed_v<T> ? 8 : 0) + int{sizeof(T)};

/// One size of film with its memory and its graph. See Note [One graph a film].
class FilmSize {
 public:
  /// Takes memory; `stream` is the one that everything will run on.
  FilmSize(const FilmSizeKey& key, std::size_t pixel_bytes, DeviceNetwork& network, TileWeights weights, Device device,
           Stream stream);
  FilmSize(FilmSize&&) = default;
  FilmSize& operator=(FilmSize&&) = default;

  const FilmSizeKey& key() const { return key_; }
  /// Every tile, whether it meets the breast or not.
  const TileGrid& grid() const { return grid_; }
  std::array<std::int64_t, 2> coarse_shape() const { return coarse_shape_; }

  /// The film's pixels, rows at multiples of 16 bytes so that kernels load whole words: pinned, and on the device.
  template <typename T>
  TensorView<T, 2> pixels_host() const {
    return {pixels_host_.as<T>(), key_.shape, {row_step_, 1}, Device{}};
  }
  template <typename T>
  TensorView<T, 2> pixels() const {
    return {pixels_.as<T>(), key_.shape, {row_step_, 1}, device_};
  }

  bool is_recorded() const { return graph_ != nullptr; }
  /// Records the graph; pixels are of type T.
  template <typename T>
  void record(DeviceNetwork& network);
  /// Puts the graph on the stream.
  void launch() const { graph_->launch(stream_); }
  bool counts_tiles() const { return graph_ != nullptr && graph_->loop_is_conditional(); }

  /// What came down, once the stream has been waited for.
  const FilmFindings& findings() const { return *report_host_.as<FilmFindings>(); }
  const std::int32_t* tile_numbers() const;
  const std::uint8_t* mask() const;
  const float* maps() const { return maps_host_.as<float>(); }
  /// Nothing if there are more than a graph holds.
  std::optional<Lesions> lesions() const;

  std::size_t device_bytes() const;
  std::size_t pinned_bytes() const;

 private:
  std::int64_t map_values() const { return channels_ * grid_.shape[0] * grid_.shape[1]; }
  /// Runs the network on nothing: its first run on a stream may allocate, which no graph can hold.
  void warm_up(DeviceNetwork& network) const;
  template <typename T>
  void enqueue_until_tiles() const;
  void enqueue_tile(DeviceNetwork& network) const;
  /// The maps go down while lesions are found; those are measured while they are outlined.
  void enqueue_after_tiles(const Branch& download, const Branch& measuring);
  TensorView<std::uint8_t, 2> device_mask() const;

  FilmSizeKey key_;
  Device device_;
  Stream stream_;
  std::int64_t channels_ = 0;
  std::int64_t row_step_ = 0;  // elements
  std::array<std::int64_t, 2> coarse_shape_{};
  TileGrid grid_;
  GridLayout layout_;
  std::size_t numbers_at_ = 0, mask_at_ = 0;  // in the report
  PinnedMemory pixels_host_, report_host_, maps_host_, lesions_host_;
  DeviceMemory pixels_, coarse_, averages_, table_, report_, window_, index_, tile_, output_, outputs_, maps_, weights_,
      scratch_;
  cuda::DeviceLesions lesions_;
  std::unique_ptr<CudaGraph> graph_;
};

}  // namespace lcx
