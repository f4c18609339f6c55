#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor_view.hpp"

namespace lcx {

/// The values where `mask` (of the same shape) is nonzero, in raster order; all of them if the mask is empty.
std::vector<float> gather_inside(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask);

}  // namespace lcx
