// A mask with dense columns is one line of pixels, looked at in pairs of words (Note [Pairs of words]). A mask with
// dense rows is packed to bits 64 rows at a time; squares of 64 x 64 bits are turned over, which leaves the same line
// of pixels as bits.

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "core/bit_pack.hpp"
#include "core/kept_memory.hpp"
#include "core/large_pages.hpp"
#include "core/line_bits.hpp"
#include "core/simd.hpp"
#include "ops/encode_rle/encode_rle.hpp"

namespace lcx::cpu {
namespace {

// Writes the edges of flagged pairs, words[0] beginning with pixel `at` and `before` ending with the pixel before it;
// room for one more than there are. Returns the end of what it wrote.
LCX_SIMD_CLONES std::uint32_t* list_edges(const std::uint64_t* words, std::uint64_t flags, std::uint64_t before,
                                          std::uint32_t at, std::uint32_t* to) {
  for (; flags != 0; flags &= flags - 1) {
    const int first = 2 * std::countr_zero(flags);
    if (first > 0) before = words[first - 1];
    for (int k = first; k < first + 2; ++k) {
      const std::uint32_t base = at + 64 * static_cast<std::uint32_t>(k);
      std::uint64_t changes = words[k] ^ (words[k] << 1 | before >> 63);
      before = words[k];
      std::uint32_t* const end = to + std::popcount(changes);
      // Where a run begins and ends in one word, edges come in twos; one too many is overwritten by the next.
      while (changes != 0) {
        *to++ = base + static_cast<std::uint32_t>(std::countr_zero(changes));
        changes &= changes - 1;
        *to++ = base + static_cast<std::uint32_t>(std::countr_zero(changes));
        changes &= changes - 1;
      }
      to = end;
    }
  }
  return to;
}

// Collects edges from a line of pixels that arrives as bits.
class EdgeFinder {
 public:
  /// Edges of `pixels` pixels.
  EdgeFinder(std::vector<std::uint32_t>& edges, std::int64_t pixels)
      : edges_(edges), most_(static_cast<std::size_t>(pixels)) {}

  /// The word that ends with the last pixel; background at first.
  std::uint64_t before() const { return before_; }

  /// The next `pairs` pairs of words with their flags, of which words[0] begins with pixel `at`.
  void add(std::int64_t at, const std::uint64_t* words, std::int64_t pairs, std::uint64_t flags) {
    if (flags == 0) return;
    const auto most = static_cast<std::size_t>(kPairPixels * std::popcount(flags) + 1);
    if (edges_.size() - count_ < most) grow(most);
    std::uint32_t* const to = edges_.data() + count_;
    count_ += static_cast<std::size_t>(list_edges(words, flags, before_, static_cast<std::uint32_t>(at), to) - to);
    before_ = words[2 * pairs - 1];
  }

  void finish(std::int64_t total) {
    edges_.resize(count_);
    if (count_ % 2 == 1) edges_.push_back(static_cast<std::uint32_t>(total));
    if (edges_.size() < edges_.capacity() / 2) edges_.shrink_to_fit();  // what stays may stay long
  }

 private:
  void grow(std::size_t by) {
    // Where there are many, room for all at once: memory that is never touched is no work, moving edges is.
    constexpr std::size_t kMany = 1 << 16;
    constexpr std::size_t kMostReserved = 1 << 24;
    const std::size_t all = std::min(most_, kMostReserved);
    if (count_ >= kMany && edges_.capacity() < all) {
      edges_.reserve(all);
      prefer_large_pages(edges_.data(), sizeof(edges_[0]) * all);
    }
    edges_.resize(count_ + by);
  }

  std::vector<std::uint32_t>& edges_;  // of which the first count_ are found
  std::size_t most_;
  std::size_t count_ = 0;
  std::uint64_t before_ = 0;
};

void encode_line(const std::uint8_t* pixels, std::int64_t total, EdgeFinder& finder) {
  std::array<std::uint64_t, 2 * kMostPairs> words;
  std::int64_t at = 0;
  while (total - at >= kPairPixels) {
    const std::int64_t pairs = std::min((total - at) / kPairPixels, kMostPairs);
    finder.add(at, words.data(), pairs, pack_pairs(pixels + at, pairs, finder.before(), words.data()));
    at += kPairPixels * pairs;
  }
  if (at == total) return;
  std::array<std::uint8_t, kPairPixels> last;
  last.fill(pixels[total - 1]);  // so that no edge follows it
  std::copy(pixels + at, pixels + total, last.begin());
  finder.add(at, words.data(), 1, pack_pairs(last.data(), 1, finder.before(), words.data()));
}

// Bits down the columns of a mask, a whole number of pairs of words to a column.
class ColumnBits {
 public:
  explicit ColumnBits(TensorView<const std::uint8_t, 2> mask)
      : height_(mask.shape[0]), words_(2 * ((height_ + kPairPixels - 1) / kPairPixels)), memory_(bytes(mask)) {
    if (!memory_.is_zero()) std::memset(memory_.data(), 0, bytes(mask));
    pack(mask);
  }

  std::int64_t pairs() const { return words_ / 2; }

  /// The words of column x; the bits below its last pixel are like that one, so that no edge follows it.
  const std::uint64_t* column(std::int64_t x) {
    std::uint64_t* words = at(x);
    const std::int64_t last = height_ - 1;
    if (words[last >> 6] >> (last & 63) & 1U) {
      words[last >> 6] |= ~std::uint64_t{0} << (last & 63);
      for (std::int64_t k = (last >> 6) + 1; k < words_; ++k) words[k] = ~std::uint64_t{0};
    }
    return words;
  }

 private:
  std::size_t bytes(TensorView<const std::uint8_t, 2> mask) const {
    return sizeof(std::uint64_t) * static_cast<std::size_t>(mask.shape[1] * words_);
  }

  std::uint64_t* at(std::int64_t x) { return static_cast<std::uint64_t*>(memory_.data()) + x * words_; }

  void pack(TensorView<const std::uint8_t, 2> mask) {
    const std::int64_t width = mask.shape[1];
    const std::int64_t row_words = (width + 63) / 64;
    std::vector<std::uint64_t> band(static_cast<std::size_t>(64 * row_words));
    for (std::int64_t y = 0; y < height_; y += 64) {
      const std::int64_t rows = std::min<std::int64_t>(64, height_ - y);
      for (std::int64_t i = 0; i < rows; ++i) {
        std::uint64_t* const words = band.data() + i * row_words;
        if (mask.strides[1] == 1) {
          pack_line(mask.row(y + i), width, words);
        } else {
          pack_bits(mask.row(y + i), width, mask.strides[1], words);
        }
      }
      for (std::int64_t k = 0; k < row_words; ++k) {
        std::array<std::uint64_t, 64> square{};
        std::uint64_t any = 0;
        for (std::int64_t i = 0; i < rows; ++i) {
          square[static_cast<std::size_t>(i)] = band[static_cast<std::size_t>(i * row_words + k)];
          any |= square[static_cast<std::size_t>(i)];
        }
        if (any == 0) continue;
        transpose_bits(square);
        const std::int64_t count = std::min<std::int64_t>(64, width - 64 * k);
        for (std::int64_t i = 0; i < count; ++i) at(64 * k + i)[y / 64] = square[static_cast<std::size_t>(i)];
      }
    }
  }

  std::int64_t height_;
  std::int64_t words_;  // a column
  KeptMemory memory_;
};

void encode_rows(TensorView<const std::uint8_t, 2> mask, EdgeFinder& finder) {
  ColumnBits columns(mask);
  for (std::int64_t x = 0; x < mask.shape[1]; ++x) {
    const std::uint64_t* const column = columns.column(x);
    for (std::int64_t first = 0; first < columns.pairs(); first += kMostPairs) {
      const std::int64_t pairs = std::min(columns.pairs() - first, kMostPairs);
      const std::uint64_t* const words = column + 2 * first;
      finder.add(x * mask.shape[0] + kPairPixels * first, words, pairs, flag_pairs(words, pairs, finder.before()));
    }
  }
}

}  // namespace

ColumnRuns encode_rle(TensorView<const std::uint8_t, 2> mask) {
  const auto [height, width] = mask.shape;
  ColumnRuns result{height, width, {}};
  EdgeFinder finder(result.edges, height * width);
  if ((height == 1 || mask.strides[0] == 1) && (width == 1 || mask.strides[1] == height)) {
    encode_line(mask.data, height * width, finder);
  } else {
    encode_rows(mask, finder);
  }
  finder.finish(height * width);
  return result;
}

void decode_rle(ColumnRunsView runs, TensorView<std::uint8_t, 2> mask) {
  constexpr std::uint64_t kOnes = 0x0101010101010101U;
  const auto total = static_cast<std::uint64_t>(runs.height * runs.width);
  for (std::size_t i = 0; i < runs.edges.size(); i += 2) {
    const std::uint32_t begin = runs.edges[i];
    const std::uint32_t count = runs.edges[i + 1] - begin;
    // A short run is one store, and the zeros behind it are no later than the next run's ones. (Little-endian.)
    if (count <= 8 && begin + std::uint64_t{8} <= total) {
      const std::uint64_t ones = kOnes >> (64 - 8 * count);
      std::memcpy(mask.data + begin, &ones, sizeof(ones));
    } else {
      std::memset(mask.data + begin, 1, count);
    }
  }
}

}  // namespace lcx::cpu
