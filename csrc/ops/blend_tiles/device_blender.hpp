#pragma once

#include <memory>

#include "ops/blend_tiles/blend_tiles.hpp"

namespace lcx::cuda {

/// Blends tiles into a map on a GPU one after another; see cpu::TileBlender. Nothing waits.
class TileBlender {
 public:
  /// map  [C, gh, gw] of the grid's shape, on a GPU; must outlive the blender. Zeroed here.
  TileBlender(const TileGrid& grid, TileWeights weights, TensorView<float, 3> map, Stream stream);
  ~TileBlender();

  /// Adds tile n, [C, th, tw]. Tiles are added once each, n ascending.
  void add(std::int64_t n, TensorView<const float, 3> tile) const;

  /// Sets the map to 0 where the mask is (Note [Mask lookup]).
  void clear_outside(TensorView<const std::uint8_t, 2> mask) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcx::cuda
