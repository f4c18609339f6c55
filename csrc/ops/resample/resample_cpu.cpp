#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "core/area_averager.hpp"
#include "core/parallel_for.hpp"
#include "ops/resample/resample.hpp"

namespace lcx::cpu {
namespace {

// Pixels worth a thread of their own: some 0.2 ms of work.
constexpr std::int64_t kPixelsPerThread = 1 << 20;

template <typename T>
class GridRows {
 public:
  GridRows(TensorView<const T, 2> image, std::array<double, 2> scale, TensorView<float, 2> averages)
      : averager_(image, scale, 0, averages.shape[1]),
        averages_(averages),
        scale_(scale[0]),
        image_height_(image.shape[0]) {}

  /// The image row that grid row y begins in; past the last grid row, none.
  std::int64_t first_image_row(std::int64_t y) const {
    if (y >= averages_.shape[0]) return std::numeric_limits<std::int64_t>::max();
    return area_taps(y, scale_, image_height_).first;
  }

  /// The first grid row that begins in image row `begin` or a later one.
  std::int64_t first_row_from(std::int64_t begin) const {
    auto y = static_cast<std::int64_t>(static_cast<double>(begin) / scale_) - 1;
    y = y < 0 ? 0 : y;
    while (first_image_row(y) < begin) ++y;
    return y;
  }

  typename AreaAverager<T>::Scratch make_scratch() const { return averager_.make_scratch(); }

  void make_row(std::int64_t y, typename AreaAverager<T>::Scratch& scratch) const {
    averager_.average(y, 0, averages_.shape[1], scratch, averages_.row(y));
  }

 private:
  AreaAverager<T> averager_;
  TensorView<float, 2> averages_;
  double scale_;
  std::int64_t image_height_;
};

// Makes the grid rows that begin in image rows [begin, end), of all grids, in the order in which they begin.
template <typename T>
void make_rows(const std::vector<GridRows<T>>& grids, std::int64_t begin, std::int64_t end) {
  auto scratch = grids.front().make_scratch();
  std::vector<std::int64_t> next;
  std::vector<std::int64_t> starts;
  for (const auto& grid : grids) {
    next.push_back(grid.first_row_from(begin));
    starts.push_back(grid.first_image_row(next.back()));
    // A grid of the image's own scale needs no sums; another one may.
    if (auto other = grid.make_scratch(); other.sums.size() > scratch.sums.size()) scratch = std::move(other);
  }
  for (;;) {
    const auto k = static_cast<std::size_t>(std::min_element(starts.begin(), starts.end()) - starts.begin());
    if (starts[k] >= end) return;
    grids[k].make_row(next[k]++, scratch);
    starts[k] = grids[k].first_image_row(next[k]);
  }
}

}  // namespace

template <typename T>
void resample(TensorView<const T, 2> image, std::span<const std::array<double, 2>> scales,
              std::span<const TensorView<float, 2>> averages, int threads) {
  std::vector<GridRows<T>> grids;
  for (std::size_t k = 0; k < scales.size(); ++k) grids.emplace_back(image, scales[k], averages[k]);
  if (grids.empty()) return;
  parallel_for(image.shape[0], kPixelsPerThread / image.shape[1] + 1, threads,
               [&](std::int64_t begin, std::int64_t end) { make_rows(grids, begin, end); });
}

#define LCX_INSTANTIATE(T)                                                                  \
  template void resample<T>(TensorView<const T, 2>, std::span<const std::array<double, 2>>, \
                            std::span<const TensorView<float, 2>>, int)
LCX_INSTANTIATE(std::uint8_t);
LCX_INSTANTIATE(std::uint16_t);
LCX_INSTANTIATE(std::int16_t);
LCX_INSTANTIATE(float);

}  // namespace lcx::cpu
