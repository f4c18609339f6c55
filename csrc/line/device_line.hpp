#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/tensor_view.hpp"
#include "core/tile_grid.hpp"
#include "line/device_network.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"
#include "ops/extract_tiles/extract_tiles.hpp"
#include "ops/find_lesions/find_lesions.hpp"

namespace lcx {

// Note [One graph a film]
// What to do with a film is known only once it has been seen: where the breast is, its window of values, which tiles
// meet it. All of that is found out on the device, so that the host asks for everything at once and waits once:
//   pixels, in pieces -> [ coarse image and the model's grid -> breast -> window, tiles
//                          -> for each tile: cut, network, keep -> blend -> lesions -> results down ]
// What is in brackets is a CUDA graph, recorded for the first film of a size and replayed for those that follow. Pixels
// go up in their own type, through pinned memory, in pieces, before the graph: one piece is copied to pinned memory
// while the one before is on its way, which a copy within the graph could not do. The network's turns are a loop that
// the device ends (Note [Counted loops]).
//
// A graph belongs to one exact size, type and spacing of images. Films come in few sizes, those of the detectors; a
// size that differs by one row has other averages, so a graph for a class of sizes would have to read every extent from
// memory, kernel by kernel. Instead the sizes used last are kept, kMostSizes of them; device_bytes says what they take.

/// What a model wants done with a film.
struct FilmSettings {
  std::array<double, 2> coarse_scale{1.0, 1.0};  ///< image pixels per pixel of the coarse image, along y and x
  std::array<double, 2> grid_scale{1.0, 1.0};    ///< image pixels per pixel of the model's grid
  double overlap = 0.0;                          ///< of tiles, as for plan_tiles
  double low_percentile = 1.0;                   ///< of the breast's values: what becomes 0
  double high_percentile = 99.5;                 ///< and 1
  float mean = 0.0F;                             ///< of the normalisation, as deviation
  float deviation = 1.0F;
  LesionOptions lesions;

  friend bool operator==(const FilmSettings&, const FilmSettings&) = default;
};

/// What was found on a film.
struct FilmResult {
  TileGrid grid;                ///< as plan_tiles gives it for the film's breast
  Normalisation normalisation;  ///< of the tiles
  Lesions lesions;              ///< on the first map
};

/// Everything between the pixels of one image and its lesions, on one GPU and one stream of its own. One image
/// at a time; not safe for several threads. In steady state it allocates nothing.
class DeviceLine {
 public:
  /// Sizes kept ready: an exam has films of one or two, a day's work of a few.
  static constexpr std::size_t kMostSizes = 4;

  /// network  outlives the line
  /// weights  how overlapping tiles are blended
  /// threads  most threads to use on the host; 0 = all available
  DeviceLine(DeviceNetwork& network, Device device, TileWeights weights, int threads = 0);
  ~DeviceLine();
  DeviceLine(const DeviceLine&) = delete;
  DeviceLine& operator=(const DeviceLine&) = delete;

  /// Finds the breast on an image, runs the network on its tiles and finds the lesions on the first map; waits for it.
  ///
  /// image     [H, W] uint8, uint16, int16 or float32, any strides, in the host's memory
  /// settings  what to do
  /// mask      uint8 [h, w], dense, of grid_shape(image.shape, coarse_scale): where the breast is
  /// maps      float32 [C, H, W], dense, of grid_shape(image.shape, grid_scale); 0 where the mask is
  /// More lesions than 2^9, or 2^14 points of outline, do not fit into the graph: the host finds them on the map then.
  /// Throws Error(kInvalidArgument) for a wrong shape or setting, Error(kDevice) or Error(kEngine) if the GPU fails.
  template <typename T>
  FilmResult run(TensorView<const T, 2> image, const FilmSettings& settings, TensorView<std::uint8_t, 2> mask,
                 TensorView<float, 3> maps);

  /// Times that a graph was recorded so far, for tests and reports.
  std::int64_t graphs_recorded() const;
  /// Whether the last film's network ran only for tiles that meet the breast (Note [Counted loops]).
  bool counts_tiles() const;
  /// Device and pinned memory that the sizes kept ready take.
  std::size_t device_bytes() const;
  std::size_t pinned_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcx
