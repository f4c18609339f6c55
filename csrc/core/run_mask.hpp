#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/bit_rows.hpp"

namespace lcx {

// Note [Runs]
// A binary mask is held as its horizontal runs: per row, the half-open column ranges of foreground, ascending
// and never touching. A mammogram's lesions are a few hundred runs where the mask is millions of pixels, so
// components, hole filling and measurements cost next to nothing once the runs are found. The worst case
// (a checkerboard) has one run for two pixels, which bounds memory at 4 bytes a pixel.

/// Columns [begin, end) of one row.
struct Run {
  std::int32_t begin;
  std::int32_t end;

  friend bool operator==(const Run&, const Run&) = default;
};

/// A binary mask as runs; see Note [Runs].
struct RunMask {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<Run> runs;
  std::vector<std::int64_t> row_offsets;  ///< [height + 1]: row y owns runs row_offsets[y] .. row_offsets[y + 1]

  const Run* begin_of(std::int64_t y) const { return runs.data() + row_offsets[static_cast<std::size_t>(y)]; }
  const Run* end_of(std::int64_t y) const { return runs.data() + row_offsets[static_cast<std::size_t>(y) + 1]; }
};

enum class Connectivity : std::uint8_t { kFour = 4, kEight = 8 };

/// A component number for every run, 0 up to count - 1 in raster order of each component's first pixel.
struct RunLabels {
  std::vector<std::int32_t> labels;
  std::int32_t count = 0;
  /// Runs that close a ring, one for each background region that the mask encloses, where diagonals connect the mask
  /// (so they do not connect the background). A graph of the runs, an edge for each two that touch, is planar, and each
  /// edge that joins nothing new leaves one inner face more: one hole.
  std::vector<std::int32_t> rings;
};

/// Calls visit(label, y, run) for each run, in raster order.
template <typename Visit>
void for_each_run(const RunMask& mask, const RunLabels& labels, const Visit& visit) {
  const std::int32_t* label = labels.labels.data();
  for (std::int64_t y = 0; y < mask.height; ++y) {
    for (const Run* run = mask.begin_of(y); run != mask.end_of(y); ++run) {
      visit(static_cast<std::size_t>(*label++), static_cast<std::int32_t>(y), *run);
    }
  }
}

/// The runs of a mask of bits.
RunMask to_runs(const BitRows& mask, int threads);

/// Likewise, on one thread, in one pass; nothing if there are more than `most`.
std::optional<RunMask> to_few_runs(const BitRows& mask, std::size_t most);

/// Connected components of a mask.
RunLabels label_runs(const RunMask& mask, Connectivity connectivity);

/// The mask with every background region that is not 4-connected to the image's border made foreground.
RunMask fill_run_holes(const RunMask& mask);

/// Per 8-connected component, whether it encloses background.
std::vector<std::uint8_t> find_holed(const RunLabels& labels);

/// Puts components whose holes have been filled in place of all that lies within them, and numbers anew.
///
/// labels  8-connected
/// filled  fill_run_holes() of some components of the mask
void lay_over(RunMask& mask, RunLabels& labels, const RunMask& filled);

/// The runs whose component has a nonzero `keep` entry.
RunMask select_components(const RunMask& mask, const RunLabels& labels, const std::vector<std::uint8_t>& keep);

/// One bit per pixel with a border of one background pixel all round, so that a tracer needs no bounds
/// checks.
class BitMask {
 public:
  BitMask(std::int64_t height, std::int64_t width);

  /// y in [-1, height], x in [-1, width].
  bool test(std::int64_t y, std::int64_t x) const {
    const std::int64_t at = x + 1;
    return (words_[static_cast<std::size_t>((y + 1) * row_words_ + (at >> 6))] >> (at & 63)) & 1U;
  }
  void set(std::int64_t y, std::int64_t x) {
    const std::int64_t at = x + 1;
    words_[static_cast<std::size_t>((y + 1) * row_words_ + (at >> 6))] |= std::uint64_t{1} << (at & 63);
  }

 private:
  std::int64_t row_words_;
  std::vector<std::uint64_t> words_;
};

}  // namespace lcx
