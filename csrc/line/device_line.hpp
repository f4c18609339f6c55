#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "core/tensor_view.hpp"
#include "core/tile_grid.hpp"
#include "line/device_network.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"
#include "ops/extract_tiles/extract_tiles.hpp"
#include "ops/find_lesions/find_lesions.hpp"

namespace lcx {

// Note [Two graphs a film]
// What to do with a film is known only once it has been seen: where the breast is, its window of values, which tiles
// meet it. So the line has two halves, each a CUDA graph that is recorded for the first film of a size and replayed for
// those that follow:
//   average   pixels -> the coarse image, downloaded; and the image on the model's grid, which stays
//   infer     tiles of the grid -> network -> blend -> lesions; maps and lesions are downloaded
// Between them the host finds the breast on the coarse image (a few tenths of a megapixel). What changes from film to
// film of one size (window, which tiles, breast) is read from device memory and is no part of a graph; only another
// number of tiles needs another graph. Pixels go up in their own type, through pinned memory, in pieces:
// one is copied to pinned memory while the one before is on its way.

/// Everything between the pixels of one image and its lesions, on one GPU and one stream of its own. One image
/// at a time; not safe for several threads. In steady state it allocates nothing.
class DeviceLine {
 public:
  /// network  outlives the line
  /// weights  how overlapping tiles are blended
  /// threads  most threads to use on the host; 0 = all available
  DeviceLine(DeviceNetwork& network, Device device, TileWeights weights, int threads = 0);
  ~DeviceLine();
  DeviceLine(const DeviceLine&) = delete;
  DeviceLine& operator=(const DeviceLine&) = delete;

  /// Uploads an image and averages it onto two grids; waits for the coarse one.
  ///
  /// image         [H, W] uint8, uint16, int16 or float32, any strides, in the host's memory
  /// coarse_scale  image pixels per pixel of `coarse` along y and x
  /// grid_scale    image pixels per pixel of the model's grid
  /// coarse        float32 [h, w], dense, of grid_shape(image.shape, coarse_scale)
  /// Throws Error(kInvalidArgument) for a wrong shape, Error(kDevice) if the GPU fails.
  template <typename T>
  void average(TensorView<const T, 2> image, std::array<double, 2> coarse_scale, std::array<double, 2> grid_scale,
               TensorView<float, 2> coarse);

  /// Runs the network over the image last averaged and finds the lesions on its first map.
  ///
  /// grid           from plan_tiles, for that image and grid_scale and the network's tile shape
  /// normalisation  of the tiles
  /// mask           uint8 [h, w] of any size spread over the image (Note [Mask lookup]); the maps are 0 where it is 0
  /// lesions        what counts as one
  /// maps           float32 [C, H, W], dense, of the grid's shape
  /// More lesions than 2^9, or 2^14 points of outline, do not fit into the graph: the host finds them on the map then.
  /// Throws Error(kInvalidArgument) if it does not fit the image, Error(kDevice) or Error(kEngine) if the GPU fails.
  Lesions infer(const TileGrid& grid, const Normalisation& normalisation, TensorView<const std::uint8_t, 2> mask,
                const LesionOptions& lesions, TensorView<float, 3> maps);

  /// Times that a graph was recorded so far, for tests and reports.
  std::int64_t graphs_recorded() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcx
