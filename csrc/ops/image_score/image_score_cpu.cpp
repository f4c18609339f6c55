// Works on odds, which ascend with the logit, so that only the highest few need a logarithm: exp(r z) = odds ** r.

#include <algorithm>
#include <cmath>

#include "core/gather.hpp"
#include "core/select.hpp"
#include "core/simd.hpp"
#include "ops/image_score/image_score.hpp"

namespace lcx::cpu {
namespace {

// Probabilities are kept this far from 0 and 1 before the logit is taken.
constexpr double kEpsilon = 1e-6;

inline double odds_of(float probability) {
  const double p = std::clamp(static_cast<double>(probability), kEpsilon, 1.0 - kEpsilon);
  return p / (1.0 - p);
}

// Sum of (odds / peak) ** 4. Lanes are kept apart because the compiler may not reorder a floating-point sum.
LCX_SIMD_CLONES double sum_fourth_powers(const float* probabilities, std::int64_t count, double peak) {
  constexpr int kLanes = 8;
  double sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      double p = static_cast<double>(probabilities[i + lane]);
      p = p < kEpsilon ? kEpsilon : p;
      p = p > 1.0 - kEpsilon ? 1.0 - kEpsilon : p;
      const double ratio = p / ((1.0 - p) * peak);
      sums[lane] += ratio * ratio * (ratio * ratio);
    }
  }
  double sum = 0.0;
  for (; i < count; ++i) sum += std::pow(odds_of(probabilities[i]) / peak, 4.0);
  for (const double lane : sums) sum += lane;
  return sum;
}

double sum_powers(const std::vector<float>& probabilities, double peak, double exponent) {
  if (exponent == 4.0) {
    return sum_fourth_powers(probabilities.data(), static_cast<std::int64_t>(probabilities.size()), peak);
  }
  double sum = 0.0;
  for (const float p : probabilities) sum += std::pow(odds_of(p) / peak, exponent);
  return sum;
}

// Mean logit of the highest `count`.
double top_mean(const std::vector<float>& probabilities, std::int64_t count) {
  const auto size = static_cast<std::int64_t>(probabilities.size());
  const float least = value_at_rank(probabilities, size - count);
  std::int64_t above = 0;
  double sum = 0.0;
  for (const float p : probabilities) {
    if (p <= least) continue;
    sum += std::log(odds_of(p));
    ++above;
  }
  sum += static_cast<double>(count - above) * std::log(odds_of(least));
  return sum / static_cast<double>(count);
}

}  // namespace

double image_score(TensorView<const float, 2> probability, TensorView<const std::uint8_t, 2> mask,
                   const ImageScoring& scoring) {
  std::vector<float> inside = gather_inside(probability, mask);
  if (inside.empty()) return 0.0;
  for (float& p : inside) p = std::isnan(p) ? 0.0F : p;
  const auto size = static_cast<double>(inside.size());
  const double peak = odds_of(range_of(inside).high);
  const double lse = std::log(peak) + std::log(sum_powers(inside, peak, scoring.lse_r) / size) / scoring.lse_r;
  const auto count = static_cast<std::int64_t>(std::max(1.0, std::ceil(scoring.top_fraction * size - 1e-9)));
  const double top = top_mean(inside, count);
  return 1.0 / (1.0 + std::exp(-(scoring.a1 * lse + scoring.a2 * top + scoring.b)));
}

}  // namespace lcx::cpu
