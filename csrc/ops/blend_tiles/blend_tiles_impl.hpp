#pragma once

#include <cmath>
#include <cstdint>

#include "core/host_device.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"

namespace lcx {

/// Weight of position `index` along a tile side of `extent` pixels; the tile's weight is the product of both.
LCX_HOST_DEVICE inline float tile_weight(TileWeights weights, std::int64_t index, std::int64_t extent) {
  if (weights == TileWeights::kConstant) return 1.0F;
  const double sigma = static_cast<double>(extent) / 8.0;
  const double distance = static_cast<double>(index) + 0.5 - static_cast<double>(extent) / 2.0;
  return static_cast<float>(std::exp(-0.5 * (distance / sigma) * (distance / sigma)));
}

}  // namespace lcx
