#include "core/bit_rows.hpp"

#include <algorithm>
#include <bit>
#include <vector>

#include "core/bit_pack.hpp"
#include "core/error.hpp"
#include "core/line_bits.hpp"
#include "core/parallel_for.hpp"
#include "core/simd.hpp"
#include "core/threshold_bits.hpp"

namespace lcx {
namespace {

// Pixels worth a thread of their own: some 0.1 ms of work, several times what starting a thread costs.
constexpr std::int64_t kPixelsPerThread = 1 << 20;

// bits_of_row(values, count, words) turns a dense row into bits.
template <typename T, typename BitsOfRow>
BitRows pack(TensorView<const T, 2> values, const BitsOfRow& bits_of_row, int threads) {
  const auto [height, width] = values.shape;
  require_argument(width < (1LL << 31) - 64, "width ", width, "; at most 2^31 - 65");
  BitRows mask(height, width);
  const std::int64_t grain = kPixelsPerThread / std::max<std::int64_t>(width, 1) + 1;
  parallel_for(height, grain, threads, [&](std::int64_t first, std::int64_t last) {
    std::vector<T> gathered(values.has_dense_rows() ? 0 : static_cast<std::size_t>(mask.width));
    for (std::int64_t y = first; y < last; ++y) {
      const T* row = values.row(y);
      if (!values.has_dense_rows()) {
        for (std::int64_t x = 0; x < mask.width; ++x) gathered[static_cast<std::size_t>(x)] = values(y, x);
        row = gathered.data();
      }
      bits_of_row(row, mask.width, mask.row(y));
    }
  });
  return mask;
}

// Writes the positions of the bits, eight at a time, so that there is one branch for eight; what is too many is
// overwritten by the next word's.
inline std::int32_t* list_bits(std::uint64_t bits, std::int32_t base, std::int32_t* to) {
  std::int32_t* const end = to + std::popcount(bits);
  while (bits != 0) {
    for (int i = 0; i < 8; ++i) {
      *to++ = base + std::countr_zero(bits);
      bits &= bits - 1;
    }
  }
  return end;
}

}  // namespace

BitRows bits_at_least(TensorView<const float, 2> values, float level, int threads) {
  return pack(
      values,
      [level](const float* row, std::int64_t count, std::uint64_t* words) { bits_at_least(row, level, count, words); },
      threads);
}

BitRows bits_at_least(TensorView<const Half, 2> values, float level, int threads) {
  return pack(
      values,
      [level](const Half* row, std::int64_t count, std::uint64_t* words) { bits_at_least(row, level, count, words); },
      threads);
}

BitRows bits_at_least(TensorView<const std::uint8_t, 2> values, float level, int threads) {
  int least = 0;
  while (least < 256 && !(probability_of(static_cast<std::uint8_t>(least)) >= level)) ++least;
  return pack(
      values,
      [least](const std::uint8_t* row, std::int64_t count, std::uint64_t* words) {
        if (least == 256) {
          std::fill(words, words + (count + 63) / 64, std::uint64_t{0});
        } else {
          bits_at_least(row, static_cast<std::uint8_t>(least), count, words);
        }
      },
      threads);
}

BitRows bits_nonzero(TensorView<const std::uint8_t, 2> mask, int threads) {
  return pack(
      mask, [](const std::uint8_t* row, std::int64_t count, std::uint64_t* words) { pack_line(row, count, words); },
      threads);
}

void to_flags(const BitRows& mask, TensorView<std::uint8_t, 2> flags, int threads) {
  const std::int64_t grain = kPixelsPerThread / std::max<std::int64_t>(mask.width, 1) + 1;
  parallel_for(mask.height, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) unpack_bits(mask.row(y), mask.width, flags.row(y));
  });
}

LCX_SIMD_CLONES std::int64_t count_runs(const std::uint64_t* words, std::int64_t count) {
  std::int64_t runs = 0;
  std::uint64_t before = 0;
  for (std::int64_t k = 0; k < count; ++k) {
    k = skip_background(words, k, count, before);
    if (k == count) break;
    runs += std::popcount(words[k] & ~((words[k] << 1) | before));
    before = words[k] >> 63;
  }
  return runs;
}

LCX_SIMD_CLONES std::int64_t count_bits(const std::uint64_t* words, std::int64_t begin, std::int64_t end) {
  const std::int64_t last = (end - 1) >> 6;
  std::int64_t count = 0;
  std::uint64_t which = ~std::uint64_t{0} << (begin & 63);
  for (std::int64_t k = begin >> 6; k < last; ++k) {
    count += std::popcount(words[k] & which);
    which = ~std::uint64_t{0};
  }
  return count + std::popcount(words[last] & which & (~std::uint64_t{0} >> (63 - ((end - 1) & 63))));
}

LCX_SIMD_CLONES std::int64_t list_runs(const std::uint64_t* words, std::int64_t count, std::int64_t width,
                                       std::int32_t* begins, std::int32_t* ends) {
  std::int32_t* begin = begins;
  std::int32_t* end = ends;
  std::uint64_t before = 0;  // the bit before the word
  for (std::int64_t k = 0; k < count; ++k) {
    const std::uint64_t word = words[k];
    if (word == 0 - before) continue;
    const std::uint64_t shifted = (word << 1) | before;
    const auto base = static_cast<std::int32_t>(64 * k);
    begin = list_bits(word & ~shifted, base, begin);
    end = list_bits(shifted & ~word, base, end);
    before = word >> 63;
  }
  if (begin - begins != end - ends) *end = static_cast<std::int32_t>(width);
  return begin - begins;
}

}  // namespace lcx
