#include "core/mask_spread.hpp"

#include <cstring>

namespace lcx {
namespace {

// Whether eight bytes are all zero, or all nonzero.
bool are_alike(const std::uint8_t* bytes, bool nonzero) {
  std::uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  if (!nonzero) return word == 0;
  return ((word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL) == 0;
}

}  // namespace

MaskSpread::MaskSpread(TensorView<const std::uint8_t, 2> mask, std::array<double, 2> scale,
                       std::array<std::int64_t, 2> image_shape, std::int64_t width)
    : mask_(mask), scale_(scale[0]), image_height_(image_shape[0]) {
  if (mask.empty()) return;
  starts_.reserve(static_cast<std::size_t>(mask.shape[1]) + 1);
  for (std::int64_t x = 0; x < width; ++x) {
    const std::int64_t index = mask_index(x, scale[1], image_shape[1], mask.shape[1]);
    while (static_cast<std::int64_t>(starts_.size()) <= index) starts_.push_back(x);
  }
  starts_.resize(static_cast<std::size_t>(mask.shape[1]) + 1, width);
}

std::int64_t MaskSpread::run_end(std::int64_t row, std::int64_t begin) const {
  const std::int64_t width = mask_.shape[1];
  const std::int64_t step = mask_.strides[1];
  const std::uint8_t* values = mask_.row(row);
  const bool is_kept = values[begin * step] != 0;
  std::int64_t end = begin + 1;
  if (step == 1) {
    while (end + 8 <= width && are_alike(values + end, is_kept)) end += 8;
  }
  while (end < width && (values[end * step] != 0) == is_kept) ++end;
  return end;
}

}  // namespace lcx
