#include "ops/find_lesions/outline_points.hpp"

#include "core/simd.hpp"
#include "ops/find_lesions/find_lesions_impl.hpp"

namespace lcx {

LCX_SIMD_CLONES void place_points(const CrackBlock& block, float level, std::array<double, 2>* points) {
  double* to = points->data();
  for (std::int32_t i = 0; i < block.count; ++i) {
    const auto k = static_cast<std::size_t>(i);
    const double part = crossing_part(block.inner[k], block.outer[k], level);
    to[2 * i] = static_cast<double>(block.y[k]) + 0.5 + part * block.dy[k];
    to[2 * i + 1] = static_cast<double>(block.x[k]) + 0.5 + part * block.dx[k];
  }
}

}  // namespace lcx
