// Works on odds, which ascend with the logit, so that only the highest few need a logarithm: exp(r z) = odds ** r. The
// map is read where it lies, run by run of the mask; nothing but the highest pixels is copied.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "core/simd.hpp"
#include "ops/image_score/image_score.hpp"

namespace lcx::cpu {
namespace {

// Probabilities are kept this far from 0 and 1 before the logit is taken. With it, sums of odds ** 4 stay within 1e24
// times the number of pixels.
constexpr double kEpsilon = 1e-6;

inline double odds_of(float probability) {
  double p = static_cast<double>(probability);
  p = p > kEpsilon ? p : kEpsilon;  // NaN too
  p = p < 1.0 - kEpsilon ? p : 1.0 - kEpsilon;
  return p / (1.0 - p);
}

// Sum of odds ** 4. Lanes are kept apart because the compiler may not reorder a floating-point sum. A division is
// dearer than all the rest, so two values share one: p / q and s / t by 1 / (q t).
LCX_SIMD_CLONES double sum_fourth_powers(const float* probabilities, std::int64_t count) {
  constexpr int kLanes = 16;
  double sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      double p = static_cast<double>(probabilities[i + lane]);
      p = p > kEpsilon ? p : kEpsilon;
      p = p < 1.0 - kEpsilon ? p : 1.0 - kEpsilon;
      double s = static_cast<double>(probabilities[i + kLanes + lane]);
      s = s > kEpsilon ? s : kEpsilon;
      s = s < 1.0 - kEpsilon ? s : 1.0 - kEpsilon;
      const double inverse = 1.0 / ((1.0 - p) * (1.0 - s));
      const double a = p * (1.0 - s) * inverse;
      const double b = s * (1.0 - p) * inverse;
      sums[lane] += a * a * (a * a) + b * b * (b * b);
    }
  }
  double sum = 0.0;
  for (; i < count; ++i) {
    const double odds = odds_of(probabilities[i]);
    sum += odds * odds * (odds * odds);
  }
  for (const double lane : sums) sum += lane;
  return sum;
}

// Whether any value is above `least`; NaN is not.
LCX_SIMD_CLONES bool any_above(const float* values, std::int64_t count, float least) {
  int above = 0;
  for (std::int64_t i = 0; i < count; ++i) above |= values[i] > least ? 1 : 0;
  return above != 0;
}

// The highest `count` of all values offered: those above the least that still counts are kept, and thinned out now and
// then, so that nearly every value costs one vectorised comparison.
class Highest {
 public:
  explicit Highest(std::int64_t count) : count_(static_cast<std::size_t>(count)) {}

  void offer(const float* values, std::int64_t count) {
    constexpr std::int64_t kBlock = 256;
    for (std::int64_t start = 0; start < count; start += kBlock) {
      const std::int64_t end = std::min(start + kBlock, count);
      if (!any_above(values + start, end - start, least_)) continue;
      // Written whether it counts or not: which values do is a coin toss to the branch predictor.
      const std::size_t before = kept_.size();
      kept_.resize(before + static_cast<std::size_t>(end - start));
      float* to = kept_.data() + before;
      for (std::int64_t i = start; i < end; ++i) {
        *to = values[i];
        to += values[i] > least_ ? 1 : 0;
      }
      kept_.resize(static_cast<std::size_t>(to - kept_.data()));
      if (kept_.size() >= 2 * count_ + kBlock) thin_out();
    }
  }

  // Of the logits. What was never kept, being NaN, counts as 0.
  double mean_logit() {
    if (kept_.size() > count_) thin_out();
    double sum = static_cast<double>(count_ - kept_.size()) * std::log(odds_of(0.0F));
    for (const float p : kept_) sum += std::log(odds_of(p));
    return sum / static_cast<double>(count_);
  }

 private:
  void thin_out() {
    const auto last = kept_.begin() + static_cast<std::ptrdiff_t>(count_ - 1);
    std::nth_element(kept_.begin(), last, kept_.end(), std::greater<>());
    least_ = *last;
    kept_.resize(count_);
  }

  std::size_t count_;
  float least_ = -1.0F;
  std::vector<float> kept_;
};

// Where the run of zero (or nonzero) bytes that holds x ends; eight bytes at a time where they are all 0 or all 1.
std::int64_t run_end(const std::uint8_t* mask, std::int64_t x, std::int64_t width) {
  const bool inside = mask[x] != 0;
  const std::uint64_t whole = inside ? 0x0101010101010101U : 0U;
  for (; x + 8 <= width; x += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, mask + x, 8);
    if (word != whole) break;
  }
  while (x < width && (mask[x] != 0) == inside) ++x;
  return x;
}

// Calls `use(values, count)` for every run of pixels inside.
template <typename Use>
void for_each_run(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask, const Use& use) {
  const std::int64_t width = values.shape[1];
  std::vector<float> value_row(values.has_dense_rows() ? 0 : static_cast<std::size_t>(width));
  std::vector<std::uint8_t> mask_row(mask.has_dense_rows() ? 0 : static_cast<std::size_t>(width));
  for (std::int64_t y = 0; y < values.shape[0]; ++y) {
    for (std::size_t x = 0; x < value_row.size(); ++x) value_row[x] = values(y, static_cast<std::int64_t>(x));
    for (std::size_t x = 0; x < mask_row.size(); ++x) mask_row[x] = mask(y, static_cast<std::int64_t>(x));
    const float* from = value_row.empty() ? &values(y, 0) : value_row.data();
    const std::uint8_t* inside = mask_row.empty() ? &mask(y, 0) : mask_row.data();
    for (std::int64_t x = 0; x < width;) {
      const std::int64_t end = run_end(inside, x, width);
      if (inside[x] != 0) use(from + x, end - x);
      x = end;
    }
  }
}

// log(mean(odds ** r)) / r, in units of the highest odds, lest a power overflow.
double log_mean_power(TensorView<const float, 2> probability, TensorView<const std::uint8_t, 2> mask, double r,
                      double size) {
  double peak = 0.0;
  for_each_run(probability, mask, [&](const float* p, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) peak = std::max(peak, odds_of(p[i]));
  });
  double sum = 0.0;
  for_each_run(probability, mask, [&](const float* p, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) sum += std::pow(odds_of(p[i]) / peak, r);
  });
  return std::log(peak) + std::log(sum / size) / r;
}

}  // namespace

double image_score(TensorView<const float, 2> probability, TensorView<const std::uint8_t, 2> mask,
                   const ImageScoring& scoring) {
  std::int64_t inside = 0;
  for_each_run(probability, mask, [&](const float*, std::int64_t n) { inside += n; });
  if (inside == 0) return 0.0;
  const auto size = static_cast<double>(inside);
  const auto count = static_cast<std::int64_t>(std::max(1.0, std::ceil(scoring.top_fraction * size - 1e-9)));
  Highest highest(count);
  // One pass over the map for both where it can be: it is too large to stay in the cache.
  const bool is_fourth = scoring.lse_r == 4.0;
  double sum = 0.0;
  for_each_run(probability, mask, [&](const float* p, std::int64_t n) {
    highest.offer(p, n);
    if (is_fourth) sum += sum_fourth_powers(p, n);
  });
  const double lse = is_fourth ? std::log(sum / size) / 4.0 : log_mean_power(probability, mask, scoring.lse_r, size);
  return 1.0 / (1.0 + std::exp(-(scoring.a1 * lse + scoring.a2 * highest.mean_logit() + scoring.b)));
}

}  // namespace lcx::cpu
