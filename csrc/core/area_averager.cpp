#include "core/area_averager.hpp"

#include <cstring>
#include <type_traits>

#include "core/prefetch.hpp"
#include "core/simd.hpp"

namespace lcx {
namespace {

template <typename T>
using Rows = std::array<const T*, 4>;

// target_clones does not apply to templates, so the four pixel types are written out. Rows are added four at a time, in
// their order, so that a pass over the sums serves four of the image.
#define LCX_ROW_LOOPS(T)                                                                                            \
  LCX_SIMD_CLONES void convert_row(const T* row, float* values, std::int64_t count) {                               \
    for (std::int64_t x = 0; x < count; ++x) values[x] = static_cast<float>(row[x]);                                \
  }                                                                                                                 \
  LCX_SIMD_CLONES void start_rows(const Rows<T>& rows, float weight, float* sums, std::int64_t count) {             \
    const T *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];                                                 \
    for (std::int64_t x = 0; x < count; ++x) {                                                                      \
      sums[x] = weight * static_cast<float>(a[x]) + static_cast<float>(b[x]) + static_cast<float>(c[x]) +           \
                static_cast<float>(d[x]);                                                                           \
    }                                                                                                               \
  }                                                                                                                 \
  LCX_SIMD_CLONES void add_rows(const Rows<T>& rows, float* sums, std::int64_t count) {                             \
    const T *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];                                                 \
    for (std::int64_t x = 0; x < count; ++x) {                                                                      \
      sums[x] = sums[x] + static_cast<float>(a[x]) + static_cast<float>(b[x]) + static_cast<float>(c[x]) +          \
                static_cast<float>(d[x]);                                                                           \
    }                                                                                                               \
  }                                                                                                                 \
  LCX_SIMD_CLONES void end_rows(const Rows<T>& rows, float weight, float scale, float* sums, std::int64_t count) {  \
    const T *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];                                                 \
    for (std::int64_t x = 0; x < count; ++x) {                                                                      \
      const float whole = sums[x] + static_cast<float>(a[x]) + static_cast<float>(b[x]) + static_cast<float>(c[x]); \
      sums[x] = (whole + weight * static_cast<float>(d[x])) * scale;                                                \
    }                                                                                                               \
  }
LCX_ROW_LOOPS(std::uint8_t)
LCX_ROW_LOOPS(std::uint16_t)
LCX_ROW_LOOPS(std::int16_t)
LCX_ROW_LOOPS(float)

}  // namespace

template <typename T>
AreaAverager<T>::AreaAverager(TensorView<const T, 2> image, std::array<double, 2> scale, std::int64_t first_column,
                              std::int64_t end_column)
    : image_(image), scale_(scale), first_column_(first_column), is_unscaled_(scale[0] == 1.0 && scale[1] == 1.0) {
  for (std::int64_t x = first_column; x < end_column && !is_unscaled_; ++x) {
    taps_.push_back(area_taps(x, scale[1], image.shape[1]));
  }
}

template <typename T>
typename AreaAverager<T>::Scratch AreaAverager<T>::make_scratch() const {
  const auto width = is_unscaled_ ? 0 : static_cast<std::size_t>(image_.shape[1]);
  return {std::vector<float>(width), std::vector<T>(image_.has_dense_rows() ? 0 : 4 * width),
          std::vector<T>(width, T{0})};
}

template <typename T>
void AreaAverager<T>::sum_rows(const Taps& taps, std::int64_t begin, std::int64_t count, Scratch& scratch) const {
  // Up to four of the rows [first, end), those that are missing all zeros.
  Rows<T> rows;
  const auto take = [&](std::int64_t first, std::int64_t end) -> const Rows<T>& {
    for (std::int64_t k = 0; k < 4; ++k) {
      rows[static_cast<std::size_t>(k)] =
          first + k < end ? dense_row(taps.first + first + k, k, begin, count, scratch) : scratch.zeros.data();
    }
    return rows;
  };
  float* sums = scratch.sums.data();
  const std::int64_t last = taps.count - 1;
  if (last == 0) {
    convert_row(dense_row(taps.first, 0, begin, count, scratch), sums, count);
    return;
  }
  start_rows(take(0, last), taps.first_weight, sums, count);
  std::int64_t k = 4;
  for (; k + 4 <= last; k += 4) add_rows(take(k, last), sums, count);
  take(k, last);  // three at most
  rows[3] = dense_row(taps.first + last, 3, begin, count, scratch);
  end_rows(rows, taps.last_weight, taps.scale, sums, count);
}

template <typename T>
const T* AreaAverager<T>::dense_row(std::int64_t y, std::int64_t slot, std::int64_t begin, std::int64_t count,
                                    Scratch& scratch) const {
  if (image_.has_dense_rows()) return image_.row(y) + begin;
  T* gathered = scratch.gathered.data() + slot * image_.shape[1];
  for (std::int64_t x = 0; x < count; ++x) gathered[x] = image_(y, begin + x);
  return gathered;
}

template <typename T>
void AreaAverager<T>::prefetch(std::int64_t y, std::int64_t begin, std::int64_t end) const {
  if (!is_unscaled_ || y >= image_.shape[0] || begin >= end || !image_.has_dense_rows()) return;
  prefetch_row(image_.row(y) + begin, end - begin);
}

template <typename T>
void AreaAverager<T>::average(std::int64_t y, std::int64_t begin, std::int64_t end, Scratch& scratch,
                              float* values) const {
  if (begin >= end) return;
  if (is_unscaled_) {
    if (image_.has_dense_rows() && std::is_same_v<T, float>) {
      std::memcpy(values + begin, image_.row(y) + begin, static_cast<std::size_t>(end - begin) * sizeof(float));
    } else if (image_.has_dense_rows()) {
      convert_row(image_.row(y) + begin, values + begin, end - begin);
    } else {
      for (std::int64_t x = begin; x < end; ++x) values[x] = static_cast<float>(image_(y, x));
    }
    return;
  }
  const Taps* taps = taps_.data() - first_column_;
  const std::int64_t first = taps[begin].first;
  sum_rows(area_taps(y, scale_[0], image_.shape[0]), first, taps[end - 1].first + taps[end - 1].count - first, scratch);
  for (std::int64_t x = begin; x < end; ++x) {
    const Taps& tap = taps[x];
    const float* from = scratch.sums.data() + (tap.first - first);
    float sum = from[0] * tap.first_weight;
    for (std::int64_t k = 1; k + 1 < tap.count; ++k) sum += from[k];
    if (tap.count > 1) sum = (sum + from[tap.count - 1] * tap.last_weight) * tap.scale;
    values[x] = sum;
  }
}

template class AreaAverager<std::uint8_t>;
template class AreaAverager<std::uint16_t>;
template class AreaAverager<std::int16_t>;
template class AreaAverager<float>;

}  // namespace lcx
