#include <cmath>
#include <limits>

#include "core/gather.hpp"
#include "core/select.hpp"
#include "ops/percentiles/percentiles.hpp"

namespace lcx::cpu {

std::vector<double> percentiles(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask,
                                std::span<const double> ranks) {
  std::vector<float> inside = gather_inside(values, mask);
  std::erase_if(inside, [](float value) { return !std::isfinite(value); });
  std::vector<double> result;
  for (const double rank : ranks) {
    result.push_back(inside.empty() ? std::numeric_limits<double>::quiet_NaN() : quantile(inside, rank / 100.0));
  }
  return result;
}

}  // namespace lcx::cpu
