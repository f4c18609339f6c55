#pragma once

#include <cstdint>
#include <vector>

#include "core/bit_rows.hpp"
#include "core/run_mask.hpp"

namespace lcx {

// Note [Bands]
// Where diagonals connect, two rows may be labelled as one: two columns side by side that each hold a pixel of either
// row are connected, whichever rows the pixels lie in. So a band of two rows is or-ed together, and each run of the
// result belongs to one component. A run of this band and one of the band above are connected where a pixel of this
// band's first row touches one of that band's last row, which is again a matter of words: last row, spread by one to
// both sides, and first row. That halves the runs of noise and makes one single run of a row of a checkerboard.
// Without diagonals a band is one row. A band whose runs are those of the band above, all of them connected (stripes
// down the image), shares the labels of that band.

/// Components of a mask by the runs of its bands; see Note [Bands].
struct BandLabels {
  static constexpr std::int64_t kPad = 8;  ///< entries before and after the labels that may be read

  std::int64_t rows_per_band = 1;
  std::vector<std::int32_t> labels;     ///< 1 .. count, in raster order of each component's first pixel
  std::vector<std::int64_t> first_run;  ///< [bands]: where in `labels` the band's runs begin
  std::int32_t count = 0;

  std::int64_t bands() const { return static_cast<std::int64_t>(first_run.size()); }
  const std::int32_t* of_band(std::int64_t band) const {
    return labels.data() + first_run[static_cast<std::size_t>(band)];
  }
};

/// Connected components of a mask, as many runs as it may have.
BandLabels label_bands(const BitRows& mask, Connectivity connectivity);

/// The two rows of a band (the same one twice where there is no second).
struct BandRows {
  const std::uint64_t* first;
  const std::uint64_t* last;
};
inline BandRows rows_of_band(const BitRows& mask, std::int64_t rows_per_band, std::int64_t band) {
  const std::int64_t y = band * rows_per_band;
  return {mask.row(y), mask.row(y + rows_per_band - 1 < mask.height ? y + rows_per_band - 1 : y)};
}

/// Clears the components that hold no bit of `seeds`, a part of the mask.
void keep_seeded(BitRows& mask, const BitRows& seeds, Connectivity connectivity);

/// Clears the components of fewer pixels than min_area.
void keep_large(BitRows& mask, std::int64_t min_area, Connectivity connectivity);

}  // namespace lcx
