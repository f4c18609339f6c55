#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/parallel_for.hpp"
#include "ops/distance_transform/distance_transform.hpp"

namespace lcx::cpu {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();

// Squared distance to the nearest mask pixel of the same column, a row at a time so that rows stay dense.
void down_the_columns(TensorView<const std::uint8_t, 2> mask, double height, TensorView<double, 2> squared) {
  const auto sweep = [&](std::int64_t y, std::int64_t from) {
    for (std::int64_t x = 0; x < mask.shape[1]; ++x) {
      double& rows = squared(y, x);
      const double beside = from >= 0 && from < mask.shape[0] ? squared(from, x) + 1.0 : kNone;
      rows = mask(y, x) != 0 ? 0.0 : std::min(rows, beside);
    }
  };
  std::fill(squared.data, squared.data + squared.size(), kNone);
  for (std::int64_t y = 0; y < mask.shape[0]; ++y) sweep(y, y - 1);
  for (std::int64_t y = mask.shape[0]; y-- > 0;) sweep(y, y + 1);
  for (std::int64_t i = 0; i < squared.size(); ++i) squared.data[i] = std::pow(squared.data[i] * height, 2);
}

// The lower envelope of the parabolas column[x] + ((x' - x) width)^2, left to right.
struct Envelope {
  std::vector<std::int64_t> vertex;
  std::vector<double> begin;  // where each takes over
};

void along_the_row(const double* column, std::int64_t count, double width, Envelope& envelope, TensorView<float, 2> to,
                   std::int64_t y) {
  auto& [vertex, begin] = envelope;
  vertex.clear();
  begin.clear();
  for (std::int64_t x = 0; x < count; ++x) {
    if (column[x] == kNone) continue;
    double at = -kNone;
    while (!vertex.empty()) {
      const std::int64_t other = vertex.back();
      at = 0.5 * static_cast<double>(x + other) +
           (column[x] - column[other]) / (2.0 * width * width * static_cast<double>(x - other));
      if (at > begin.back()) break;
      vertex.pop_back();
      begin.pop_back();
    }
    begin.push_back(vertex.empty() ? -kNone : at);
    vertex.push_back(x);
  }
  std::size_t k = 0;
  for (std::int64_t x = 0; x < count; ++x) {
    if (vertex.empty()) {
      to(y, x) = std::numeric_limits<float>::infinity();
      continue;
    }
    while (k + 1 < vertex.size() && begin[k + 1] < static_cast<double>(x)) ++k;
    const double across = static_cast<double>(x - vertex[k]) * width;
    to(y, x) = static_cast<float>(std::sqrt(column[vertex[k]] + across * across));
  }
}

}  // namespace

void distance_transform(TensorView<const std::uint8_t, 2> mask, std::array<double, 2> spacing,
                        TensorView<float, 2> distance, int threads) {
  std::vector<double> values(static_cast<std::size_t>(mask.size()));
  const TensorView<double, 2> squared(values.data(), mask.shape);
  down_the_columns(mask, spacing[0], squared);
  parallel_for(mask.shape[0], 64, threads, [&](std::int64_t first, std::int64_t last) {
    Envelope envelope;
    for (std::int64_t y = first; y < last; ++y) {
      along_the_row(squared.row(y), mask.shape[1], spacing[1], envelope, distance, y);
    }
  });
}

}  // namespace lcx::cpu
