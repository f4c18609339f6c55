#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/simd.hpp"
#include "ops/region_props/region_props.hpp"

namespace lcx::cpu {
namespace {

// What a value counts as.
float counted(float value) { return std::isnan(value) ? 0.0F : value; }

// Where from `x` on a row has something else than `label`.
LCX_SIMD_CLONES std::int64_t end_of_stretch(const std::int32_t* row, std::int64_t x, std::int64_t width,
                                            std::int32_t label) {
  constexpr std::int64_t kBlock = 64;
  for (; x + kBlock <= width; x += kBlock) {
    std::int32_t differ = 0;
    for (std::int64_t i = 0; i < kBlock; ++i) differ |= row[x + i] ^ label;
    if (differ != 0) break;
  }
  while (x < width && row[x] == label) ++x;
  return x;
}

// Calls visit(label, y, begin, end) for each stretch of one nonzero label within a row.
template <typename Visit>
void for_each_stretch(TensorView<const std::int32_t, 2> labels, const Visit& visit) {
  const std::int64_t width = labels.shape[1];
  // Stretches of noise end before looking at blocks of pixels is worth it.
  const std::int64_t near = labels.has_dense_rows() ? 8 : width + 1;
  for (std::int64_t y = 0; y < labels.shape[0]; ++y) {
    for (std::int64_t x = 0; x < width;) {
      const std::int32_t label = labels(y, x);
      const std::int64_t begin = x;
      while (x < width && labels(y, x) == label) {
        if (++x - begin == near) x = end_of_stretch(labels.row(y), x, width, label);
      }
      if (label != 0) visit(label, y, begin, x);
    }
  }
}

}  // namespace

RegionProps region_props(TensorView<const std::int32_t, 2> labels, TensorView<const float, 2> values,
                         std::int32_t count) {
  RegionProps props;
  props.geometry.resize(static_cast<std::size_t>(count));
  for_each_stretch(labels, [&](std::int32_t label, std::int64_t y, std::int64_t begin, std::int64_t end) {
    require_argument(label > 0 && label <= count, "label ", label, "; must be within 0 and count (", count, ")");
    props.geometry[static_cast<std::size_t>(label - 1)].add_run(
        static_cast<std::int32_t>(y), static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end));
  });
  if (values.data == nullptr) return props;

  std::vector<std::vector<float>> gathered(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < gathered.size(); ++i) {
    gathered[i].reserve(static_cast<std::size_t>(props.geometry[i].area));
  }
  for_each_stretch(labels, [&](std::int32_t label, std::int64_t y, std::int64_t begin, std::int64_t end) {
    auto& to = gathered[static_cast<std::size_t>(label - 1)];
    for (std::int64_t x = begin; x < end; ++x) to.push_back(counted(values(y, x)));
  });
  for (auto& region : gathered) props.values.push_back(region.empty() ? RegionValues{} : summarise(region));
  return props;
}

RegionValues measure_runs(TensorView<const float, 2> values, TensorView<const std::int32_t, 2> runs) {
  std::vector<float> inside;
  for (std::int64_t i = 0; i < (runs.empty() ? 0 : runs.shape[0]); ++i) {
    for (std::int64_t x = runs(i, 1); x < runs(i, 2); ++x) {
      inside.push_back(counted(values(runs(i, 0), x)));
    }
  }
  return inside.empty() ? RegionValues{} : summarise(inside);
}

}  // namespace lcx::cpu
