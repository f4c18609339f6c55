// Components are found in bits, two rows at a time (Note [Bands]), and painted 64 pixels at a time; background is left
// as it is.

#include <algorithm>
#include <array>
#include <bit>

#include "core/band_labels.hpp"
#include "core/parallel_for.hpp"
#include "ops/label_components/label_components.hpp"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#include <immintrin.h>
#define LCX_PAINT_BY_INTRINSICS
#endif

namespace lcx::cpu {
namespace {

// The 64 pixels of one word of a band.
struct BandWord {
  std::array<std::uint64_t, 2> rows;  // the pixels of either row
  std::uint64_t starts;               // where runs of the band begin
  const std::int32_t* labels;         // labels[0]: of the run that is open before the word, labels[1]: of the next, ...
  std::array<std::int32_t*, 2> to;
};

void paint_plainly(const BandWord& word, std::int64_t count) {
  for (std::size_t r = 0; r < 2; ++r) {
    const std::int32_t* label = word.labels;
    for (std::int64_t x = 0; x < count; ++x) {
      label += word.starts >> x & 1U;
      if (word.rows[r] >> x & 1U) word.to[r][x] = *label;
    }
  }
}

#ifdef LCX_PAINT_BY_INTRINSICS

// For each byte of run starts, how many of them lie at or before each of its bits.
constexpr auto kStartsUpTo = [] {
  std::array<std::array<std::uint8_t, 8>, 256> table{};
  for (unsigned bits = 0; bits < 256; ++bits) {
    std::uint8_t starts = 0;
    for (unsigned x = 0; x < 8; ++x) {
      starts = static_cast<std::uint8_t>(starts + (bits >> x & 1U));
      table[bits][x] = starts;
    }
  }
  return table;
}();

// Eight pixels at a time: no more than four runs begin among them, so their labels are in one register.
__attribute__((target("avx2,popcnt"))) void paint_avx2(const BandWord& word) {
  const __m256i bit_of_lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const std::int32_t* labels = word.labels;
  for (unsigned at = 0; at < 64; at += 8) {
    const auto starts = static_cast<std::uint8_t>(word.starts >> at);
    const __m256i runs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(labels));
    const __m256i which =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kStartsUpTo[starts].data())));
    const __m256i painted = _mm256_permutevar8x32_epi32(runs, which);
    for (std::size_t r = 0; r < 2; ++r) {
      const __m256i bits = _mm256_set1_epi32(static_cast<int>(word.rows[r] >> at & 0xFFU));
      const __m256i inside = _mm256_cmpeq_epi32(_mm256_and_si256(bits, bit_of_lane), bit_of_lane);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(word.to[r] + at), _mm256_and_si256(painted, inside));
    }
    labels += std::popcount(starts);
  }
}

using PaintWord = void (*)(const BandWord&);

PaintWord choose_paint() {
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) return paint_avx2;
  return [](const BandWord& word) { paint_plainly(word, 64); };
}

#endif

void paint_word(const BandWord& word, std::int64_t count) {
#ifdef LCX_PAINT_BY_INTRINSICS
  static const PaintWord paint = choose_paint();
  if (count == 64) {
    paint(word);
    return;
  }
#endif
  paint_plainly(word, count);
}

void paint_band(const BitRows& mask, const BandLabels& components, std::int64_t band,
                TensorView<std::int32_t, 2> labels) {
  const BandRows rows = rows_of_band(mask, components.rows_per_band, band);
  const std::int64_t y = band * components.rows_per_band;
  const std::array<std::int32_t*, 2> to{labels.row(y), labels.row(rows.first == rows.last ? y : y + 1)};
  const std::int32_t* next = components.of_band(band) - 1;
  std::uint64_t before = 0;
  for (std::int64_t k = 0; k < mask.row_words; ++k) {
    const std::uint64_t merged = rows.first[k] | rows.last[k];
    if (merged == 0) {
      before = 0;
      continue;
    }
    const std::uint64_t starts = merged & ~((merged << 1) | before);
    const std::int64_t x = 64 * k;
    paint_word({{rows.first[k], rows.last[k]}, starts, next, {to[0] + x, to[1] + x}},
               std::min<std::int64_t>(64, mask.width - x));
    next += std::popcount(starts);
    before = merged >> 63;
  }
}

}  // namespace

std::int32_t label_components(TensorView<const std::uint8_t, 2> mask, Connectivity connectivity,
                              TensorView<std::int32_t, 2> labels, int threads) {
  const BitRows bits = bits_nonzero(mask, threads);
  const BandLabels components = label_bands(bits, connectivity);
  parallel_for(components.bands(), 64, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t band = begin; band < end; ++band) paint_band(bits, components, band, labels);
  });
  return components.count;
}

}  // namespace lcx::cpu
