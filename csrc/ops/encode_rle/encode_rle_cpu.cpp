// A mask with dense columns is one line of pixels, looked at 64 or, where nothing changes, 256 at a time. A mask with
// dense rows is packed to bits 64 rows at a time; squares of 64 x 64 bits are turned over, which leaves the same line
// of pixels as bits.

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "core/bit_pack.hpp"
#include "core/simd.hpp"
#include "ops/encode_rle/encode_rle.hpp"

namespace lcx::cpu {
namespace {

constexpr std::int64_t kBlock = 256;

// The first of `count` blocks of 256 bytes that holds another byte than `value`; `count` if there is none.
LCX_SIMD_CLONES std::int64_t first_mixed(const std::uint8_t* bytes, std::int64_t count, std::uint8_t value) {
  for (std::int64_t block = 0; block < count; ++block) {
    std::uint8_t differs = 0;
    for (std::int64_t i = 0; i < kBlock; ++i) {
      differs = static_cast<std::uint8_t>(differs | (bytes[block * kBlock + i] ^ value));
    }
    if (differs != 0) return block;
  }
  return count;
}

// Collects edges from a line of pixels that arrives as bits.
class EdgeFinder {
 public:
  /// Edges of `pixels` pixels.
  EdgeFinder(std::vector<std::uint32_t>& edges, std::int64_t pixels)
      : edges_(edges), most_(static_cast<std::size_t>(pixels + kStep)) {}

  bool is_open() const { return open_ != 0; }

  /// The next `count` pixels, at most 64, from pixel `at` on: the lowest bits of `word`, the others equal to the last.
  void add(std::int64_t at, std::uint64_t word) {
    std::uint64_t changes = word ^ ((word << 1) | open_);
    if (changes == 0) return;
    // Room for a word at a time, so that the loop below has nothing to check.
    if (edges_.size() - count_ < 64) grow();
    std::uint32_t* to = edges_.data() + count_;
    for (; changes != 0; changes &= changes - 1) *to++ = static_cast<std::uint32_t>(at + std::countr_zero(changes));
    count_ = static_cast<std::size_t>(to - edges_.data());
    open_ = word >> 63;
  }

  void finish(std::int64_t total) {
    edges_.resize(count_);
    if (is_open()) edges_.push_back(static_cast<std::uint32_t>(total));
    if (edges_.size() < edges_.capacity() / 2) edges_.shrink_to_fit();  // what stays may stay long
  }

 private:
  static constexpr std::int64_t kStep = 1024;

  void grow() {
    // Where there are many, room for all at once: memory that is never touched is no work, moving edges is.
    constexpr std::size_t kMany = 1 << 16;
    constexpr std::size_t kMostReserved = 1 << 24;
    if (count_ >= kMany && edges_.capacity() < std::min(most_, kMostReserved)) {
      edges_.reserve(std::min(most_, kMostReserved));
    }
    edges_.resize(edges_.size() + kStep);
  }

  std::vector<std::uint32_t>& edges_;  // of which the first count_ are found
  std::size_t most_;
  std::size_t count_ = 0;
  std::uint64_t open_ = 0;  // the last pixel
};

// The lowest `count` bits of a word, 1 .. 64, the rest filled with the last of them, so that no change follows it.
std::uint64_t extend(std::uint64_t word, std::int64_t count) {
  const auto spare = static_cast<unsigned>(64 - count);
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(word << spare) >> spare);
}

void encode_line(const std::uint8_t* pixels, std::int64_t total, EdgeFinder& finder) {
  std::int64_t at = 0;
  while (at < total) {
    if (total - at >= kBlock && (pixels[at] != 0) == finder.is_open()) {
      at += kBlock * first_mixed(pixels + at, (total - at) / kBlock, pixels[at]);
    }
    const std::int64_t stop = std::min(at + kBlock, total);
    for (; stop - at >= 64; at += 64) finder.add(at, pack_word(pixels + at));
    if (at < stop) {
      std::uint64_t word = 0;
      pack_bits(pixels + at, stop - at, 1, &word);
      finder.add(at, extend(word, stop - at));
      at = stop;
    }
  }
}

// Bits down the columns: `words` per column, bits past a column's end 0.
std::vector<std::uint64_t> pack_columns(TensorView<const std::uint8_t, 2> mask, std::int64_t words) {
  const auto [height, width] = mask.shape;
  const std::int64_t row_words = (width + 63) / 64;
  std::vector<std::uint64_t> columns(static_cast<std::size_t>(width * words), 0);
  std::vector<std::uint64_t> band(static_cast<std::size_t>(64 * row_words));
  for (std::int64_t y = 0; y < height; y += 64) {
    const std::int64_t rows = std::min<std::int64_t>(64, height - y);
    for (std::int64_t i = 0; i < rows; ++i) {
      pack_bits(mask.row(y + i), width, mask.strides[1], band.data() + i * row_words);
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
      for (std::int64_t i = 0; i < count; ++i) {
        columns[static_cast<std::size_t>((64 * k + i) * words + y / 64)] = square[static_cast<std::size_t>(i)];
      }
    }
  }
  return columns;
}

}  // namespace

ColumnRuns encode_rle(TensorView<const std::uint8_t, 2> mask) {
  const auto [height, width] = mask.shape;
  ColumnRuns result{height, width, {}};
  EdgeFinder finder(result.edges, height * width);
  if ((height == 1 || mask.strides[0] == 1) && (width == 1 || mask.strides[1] == height)) {
    encode_line(mask.data, height * width, finder);
  } else {
    const std::int64_t words = (height + 63) / 64;
    const std::vector<std::uint64_t> columns = pack_columns(mask, words);
    for (std::int64_t x = 0; x < width; ++x) {
      const std::uint64_t* column = columns.data() + x * words;
      for (std::int64_t k = 0; k < words; ++k) {
        const std::int64_t left = height - 64 * k;
        finder.add(x * height + 64 * k, left >= 64 ? column[k] : extend(column[k], left));
      }
    }
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
