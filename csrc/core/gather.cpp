#include "core/gather.hpp"

#include "core/mask_spread.hpp"

namespace lcx {

std::vector<float> gather_inside(TensorView<const float, 2> values, TensorView<const std::uint8_t, 2> mask) {
  std::vector<float> gathered;
  if (values.empty()) return gathered;
  const std::int64_t width = values.shape[1];
  gathered.reserve(static_cast<std::size_t>(values.size()));
  const auto append = [&](std::int64_t y, std::int64_t begin, std::int64_t end) {
    if (values.has_dense_rows()) {
      gathered.insert(gathered.end(), values.row(y) + begin, values.row(y) + end);
    } else {
      for (std::int64_t x = begin; x < end; ++x) gathered.push_back(values(y, x));
    }
  };
  // At scale 1 a mask of the values' shape is looked up pixel by pixel.
  const MaskSpread runs(mask, {1.0, 1.0}, values.shape, width);
  for (std::int64_t y = 0; y < values.shape[0]; ++y) {
    if (mask.empty()) {
      append(y, 0, width);
    } else {
      runs.for_each_run(y, 0, width, true, [&](std::int64_t begin, std::int64_t end) { append(y, begin, end); });
    }
  }
  return gathered;
}

}  // namespace lcx
