#include "core/bit_holes.hpp"

#include <algorithm>
#include <utility>

#include "core/band_labels.hpp"
#include "core/simd.hpp"

namespace lcx {
namespace {

// How often rows are spread, on average, and the image swept, before labelling is the better way.
constexpr std::int64_t kSpreadsPerRow = 4;
constexpr int kSweeps = 48;

// Whether a neighbouring row reaches open pixels of a row that are not yet known to be outside.
LCX_SIMD_CLONES bool reaches(const std::uint64_t* neighbour, const std::uint64_t* open, const std::uint64_t* outside,
                             std::int64_t count) {
  std::uint64_t any = 0;
  for (std::int64_t k = 0; k < count; ++k) any |= neighbour[k] & open[k] & ~outside[k];
  return any != 0;
}

// The first look at a row: what the row above reaches.
LCX_SIMD_CLONES void take_reached(const std::uint64_t* above, const std::uint64_t* open, std::uint64_t* outside,
                                  std::int64_t count) {
  for (std::int64_t k = 0; k < count; ++k) outside[k] = above[k] & open[k];
}

// Adds what a neighbouring row reaches; false if that leaves nothing open.
LCX_SIMD_CLONES bool add_reached(const std::uint64_t* neighbour, const std::uint64_t* open, std::uint64_t* outside,
                                 std::int64_t count) {
  std::uint64_t left = 0;
  for (std::int64_t k = 0; k < count; ++k) {
    outside[k] |= neighbour[k] & open[k];
    left |= open[k] ^ outside[k];
  }
  return left != 0;
}

// Spreads `seeds` through the runs of `open` towards lower bits.
inline std::uint64_t spread_down(std::uint64_t seeds, std::uint64_t open) {
  for (unsigned step = 1; step < 64; step *= 2) {
    seeds |= open & (seeds >> step);
    open &= open >> step;
  }
  return seeds;
}

class Flood {
 public:
  explicit Flood(const BitRows& open)
      : open_(open), outside_(open.height, open.width), spreads_left_(kSpreadsPerRow * open.height) {}

  /// False if it gave up.
  bool run() {
    const std::int64_t height = open_.height;
    const std::int64_t words = open_.row_words;
    const std::int64_t right = open_.width - 1;
    std::copy_n(open_.row(0), words, outside_.row(0));
    std::copy_n(open_.row(height - 1), words, outside_.row(height - 1));
    for (std::int64_t y = 1; y < height - 1; ++y) {
      const std::uint64_t* open = open_.row(y);
      std::uint64_t* outside = outside_.row(y);
      take_reached(outside_.row(y - 1), open, outside, words);
      outside[0] |= open[0] & 1U;
      outside[right / 64] |= open[right / 64] & (std::uint64_t{1} << (right % 64));
      if (add_reached(outside_.row(y - 1), open, outside, words)) spread(open, outside);
    }
    for (int sweep = 0; sweep < kSweeps && spreads_left_ >= 0; ++sweep) {
      bool changed = false;
      if (sweep % 2 == 0) {
        for (std::int64_t y = height - 1; y-- > 0;) changed |= take(y, y + 1);
      } else {
        for (std::int64_t y = 1; y < height; ++y) changed |= take(y, y - 1);
      }
      if (!changed) return true;
    }
    return false;
  }

  BitRows outside() && { return std::move(outside_); }

 private:
  bool take(std::int64_t y, std::int64_t neighbour) {
    const std::uint64_t* open = open_.row(y);
    std::uint64_t* outside = outside_.row(y);
    if (!reaches(outside_.row(neighbour), open, outside, open_.row_words)) return false;
    if (add_reached(outside_.row(neighbour), open, outside, open_.row_words)) {
      spread(open, outside);
      --spreads_left_;
    }
    return true;
  }

  // From what is outside in a row through the open runs that hold it.
  void spread(const std::uint64_t* open, std::uint64_t* outside) const {
    std::uint64_t carry = 0;
    for (std::int64_t k = 0; k < open_.row_words; ++k) {
      if (outside[k] != open[k]) {
        const std::uint64_t seeds = outside[k] | (carry & open[k]);
        // The sum's carry clears a run from its first seed on; further seeds in the run come back by themselves.
        outside[k] = seeds | (open[k] & ~(open[k] + seeds));
      }
      carry = outside[k] >> 63;
    }
    carry = 0;
    for (std::int64_t k = open_.row_words; k-- > 0;) {
      if (outside[k] != open[k]) {
        const std::uint64_t seeds = outside[k] | (carry & open[k]);
        if (seeds != 0) outside[k] = spread_down(seeds, open[k]);
      }
      carry = outside[k] << 63;
    }
  }

  const BitRows& open_;
  BitRows outside_;
  std::int64_t spreads_left_;
};

// The pixels of a mask on the image's border.
BitRows border_of(const BitRows& mask) {
  BitRows border(mask.height, mask.width);
  for (std::int64_t y = 0; y < mask.height; ++y) {
    const std::uint64_t* from = mask.row(y);
    std::uint64_t* to = border.row(y);
    std::copy_n(from, mask.row_words, to);
    if (y != 0 && y + 1 != mask.height && mask.width > 2) clear_bits(to, 1, mask.width - 1);
  }
  return border;
}

void invert(BitRows& mask) {
  for (std::int64_t y = 0; y < mask.height; ++y) {
    std::uint64_t* row = mask.row(y);
    for (std::int64_t k = 0; k < mask.row_words; ++k) row[k] = ~row[k];
    if (mask.width % 64 != 0) row[mask.row_words - 1] &= ~(~std::uint64_t{0} << (mask.width % 64));
  }
}

}  // namespace

void fill_bit_holes(BitRows& mask) {
  if (mask.height == 0 || mask.width == 0) return;
  invert(mask);
  Flood flood(mask);
  if (flood.run()) {
    mask = std::move(flood).outside();
  } else {
    keep_seeded(mask, border_of(mask), Connectivity::kFour);
  }
  invert(mask);
}

}  // namespace lcx
