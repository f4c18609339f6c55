#pragma once

#include <cstdint>

#include "core/half.hpp"
#include "core/kept_memory.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

// Note [Bit rows]
// A binary mask with one bit a pixel: pixel x of a row is bit x % 64 of the row's word x / 64, and bits past the width
// are 0. It is what a threshold gives first; runs (Note [Runs]) are made of it where they are few. Where they are not,
// as in noise or fine stripes, whole words at a time beat a record for each run.

/// A binary mask; see Note [Bit rows].
class BitRows {
 public:
  /// Holds no particular pixels yet.
  BitRows(std::int64_t rows, std::int64_t columns)
      : height(rows),
        width(columns),
        row_words((columns + 63) / 64),
        words_(static_cast<std::size_t>(rows * row_words) * sizeof(std::uint64_t)) {}

  const std::uint64_t* row(std::int64_t y) const {
    return static_cast<const std::uint64_t*>(words_.data()) + y * row_words;
  }
  std::uint64_t* row(std::int64_t y) { return static_cast<std::uint64_t*>(words_.data()) + y * row_words; }

  /// Any y and x: what lies outside is background.
  bool test(std::int64_t y, std::int64_t x) const {
    // As unsigned numbers, negative ones are larger than any size.
    const bool is_inside = static_cast<std::uint64_t>(y) < static_cast<std::uint64_t>(height) &&
                           static_cast<std::uint64_t>(x) < static_cast<std::uint64_t>(width);
    return is_inside && ((row(y)[x >> 6] >> (x & 63)) & 1U) != 0;
  }

  std::int64_t height;
  std::int64_t width;
  std::int64_t row_words;

 private:
  KeptMemory words_;
};

/// The pixels with `value >= level` (NaN is background); for stored probabilities see core/half.hpp.
BitRows bits_at_least(TensorView<const float, 2> values, float level, int threads);
BitRows bits_at_least(TensorView<const Half, 2> values, float level, int threads);
BitRows bits_at_least(TensorView<const std::uint8_t, 2> values, float level, int threads);

/// The nonzero pixels.
BitRows bits_nonzero(TensorView<const std::uint8_t, 2> mask, int threads);

/// Writes 1 for every pixel of the mask to bytes that are all 0 before, dense rows.
void to_flags(const BitRows& mask, TensorView<std::uint8_t, 2> flags, int threads);

/// The first of words [k, count) that may hold the begin or the end of a run, `before` being the bit before word k.
inline std::int64_t skip_background(const std::uint64_t* words, std::int64_t k, std::int64_t count,
                                    std::uint64_t before) {
  if (before != 0) return k;
  while (count - k >= 4 && (words[k] | words[k + 1] | words[k + 2] | words[k + 3]) == 0) k += 4;
  while (k < count && words[k] == 0) ++k;
  return k;
}

/// How many runs a row has, that is ranges of foreground.
std::int64_t count_runs(const std::uint64_t* words, std::int64_t count);

/// Whether any bit of [begin, end) is set; begin < end.
inline bool any_bit(const std::uint64_t* words, std::int64_t begin, std::int64_t end) {
  std::int64_t k = begin >> 6;
  const std::int64_t last = (end - 1) >> 6;
  const std::uint64_t head = ~std::uint64_t{0} << (begin & 63);
  const std::uint64_t tail = ~std::uint64_t{0} >> (63 - ((end - 1) & 63));
  if (k == last) return (words[k] & head & tail) != 0;
  if (words[k] & head) return true;
  for (++k; k < last; ++k) {
    if (words[k]) return true;
  }
  return (words[last] & tail) != 0;
}

/// How many bits of [begin, end) are set; begin < end.
std::int64_t count_bits(const std::uint64_t* words, std::int64_t begin, std::int64_t end);

/// Calls change(word, which) for every word that bits [begin, end) lie in, `which` being those of its bits; begin <
/// end.
template <typename Change>
void for_bit_range(std::uint64_t* words, std::int64_t begin, std::int64_t end, const Change& change) {
  std::int64_t k = begin >> 6;
  const std::int64_t last = (end - 1) >> 6;
  std::uint64_t which = ~std::uint64_t{0} << (begin & 63);
  const std::uint64_t tail = ~std::uint64_t{0} >> (63 - ((end - 1) & 63));
  for (; k < last; ++k) {
    change(words[k], which);
    which = ~std::uint64_t{0};
  }
  change(words[last], which & tail);
}

inline void set_bits(std::uint64_t* words, std::int64_t begin, std::int64_t end) {
  for_bit_range(words, begin, end, [](std::uint64_t& word, std::uint64_t which) { word |= which; });
}

inline void clear_bits(std::uint64_t* words, std::int64_t begin, std::int64_t end) {
  for_bit_range(words, begin, end, [](std::uint64_t& word, std::uint64_t which) { word &= ~which; });
}

/// Lists the runs of a row of `count` words, whose bits past `width` are 0: begins[i] .. ends[i]. Both arrays have room
/// for kRunSlack entries more than there are runs. Returns how many there are.
std::int64_t list_runs(const std::uint64_t* words, std::int64_t count, std::int64_t width, std::int32_t* begins,
                       std::int32_t* ends);
inline constexpr std::int64_t kRunSlack = 8;

}  // namespace lcx
