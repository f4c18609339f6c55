#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/area_taps.hpp"
#include "core/tensor_view.hpp"

namespace lcx {

/// Averages an image over the pixels of a coarser or finer grid, a grid row at a time: down into a row of sums, then
/// across. A grid pixel is the mean of the image over the area it covers, image pixels on its edge counting by the
/// fraction covered, and only the part inside the image counting.
///
/// T is uint8, uint16, int16 or float.
template <typename T>
class AreaAverager {
 public:
  /// image  [H, W], any strides; must outlive the averager
  /// scale  image pixels per grid pixel along y and x
  /// first_column, end_column  of the grid: those that will be asked for
  AreaAverager(TensorView<const T, 2> image, std::array<double, 2> scale, std::int64_t first_column,
               std::int64_t end_column);

  /// What one thread needs to average rows.
  struct Scratch {
    std::vector<float> sums;
    std::vector<T> gathered;  // rows that are not dense in the image
    std::vector<T> zeros;
  };
  Scratch make_scratch() const;

  /// Asks for what columns [begin, end) of grid row y will need, where that is one row (Note [Rows ahead]).
  void prefetch(std::int64_t y, std::int64_t begin, std::int64_t end) const;

  /// Averages columns [begin, end) of grid row y into values[begin] .. values[end - 1].
  void average(std::int64_t y, std::int64_t begin, std::int64_t end, Scratch& scratch, float* values) const;

 private:
  void sum_rows(const Taps& taps, std::int64_t begin, std::int64_t count, Scratch& scratch) const;
  const T* dense_row(std::int64_t y, std::int64_t slot, std::int64_t begin, std::int64_t count, Scratch& scratch) const;

  TensorView<const T, 2> image_;
  std::array<double, 2> scale_;
  std::int64_t first_column_;
  bool is_unscaled_;
  std::vector<Taps> taps_;  // of grid columns, from first_column_ on
};

}  // namespace lcx
