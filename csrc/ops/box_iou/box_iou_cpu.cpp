// One row of the result per predicted box, over the reference boxes column by column, so that the compiler takes
// eight or sixteen of them at once.

#include <vector>

#include "core/box.hpp"
#include "core/parallel_for.hpp"
#include "core/simd.hpp"
#include "ops/box_iou/box_iou.hpp"

namespace lcx::cpu {
namespace {

// Pairs worth a thread of their own: some 0.2 ms.
constexpr std::int64_t kPairsPerThread = 1 << 18;

// One loop for each type, since clones of a template cannot be made; see Note [SIMD clones]. `boxes` holds x0, y0, x1,
// y1 and area, `count` values each.
#define LCX_OVERLAP_ROW(T)                                                                                   \
  LCX_SIMD_CLONES void overlap_row(const Box<T>& a, const T* boxes, std::int64_t count, T* __restrict out) { \
    const T* x0 = boxes;                                                                                     \
    const T* y0 = boxes + count;                                                                             \
    const T* x1 = boxes + 2 * count;                                                                         \
    const T* y1 = boxes + 3 * count;                                                                         \
    const T* area = boxes + 4 * count;                                                                       \
    for (std::int64_t i = 0; i < count; ++i) {                                                               \
      const T width = (a.x1 < x1[i] ? a.x1 : x1[i]) - (a.x0 > x0[i] ? a.x0 : x0[i]);                         \
      const T height = (a.y1 < y1[i] ? a.y1 : y1[i]) - (a.y0 > y0[i] ? a.y0 : y0[i]);                        \
      const T both = width * height;                                                                         \
      const T iou = both / (a.area + area[i] - both);                                                        \
      out[i] = width > 0 && height > 0 ? iou : 0;                                                            \
    }                                                                                                        \
  }
LCX_OVERLAP_ROW(float)
LCX_OVERLAP_ROW(double)
#undef LCX_OVERLAP_ROW

template <typename T>
Box<T> box_at(TensorView<const T, 2> boxes, std::int64_t i, BoxFormat format) {
  return format == BoxFormat::kXyxy ? Box<T>::from_corners(boxes(i, 0), boxes(i, 1), boxes(i, 2), boxes(i, 3))
                                    : Box<T>::from_sides(boxes(i, 0), boxes(i, 1), boxes(i, 2), boxes(i, 3));
}

}  // namespace

template <typename T>
void box_iou(TensorView<const T, 2> predicted, TensorView<const T, 2> reference, BoxFormat format,
             TensorView<const std::uint8_t, 1> crowd, TensorView<T, 2> iou, int threads) {
  const std::int64_t count = reference.shape[0];
  std::vector<T> columns(static_cast<std::size_t>(5 * count));
  std::vector<std::int64_t> crowds;
  for (std::int64_t i = 0; i < count; ++i) {
    const Box<T> box = box_at(reference, i, format);
    const T values[5] = {box.x0, box.y0, box.x1, box.y1, box.area};
    for (std::int64_t k = 0; k < 5; ++k) columns[static_cast<std::size_t>(k * count + i)] = values[k];
    if (crowd.data != nullptr && crowd(i) != 0) crowds.push_back(i);
  }
  parallel_for(predicted.shape[0], kPairsPerThread / count + 1, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t d = begin; d < end; ++d) {
      const Box<T> box = box_at(predicted, d, format);
      overlap_row(box, columns.data(), count, iou.row(d));
      for (const std::int64_t g : crowds) iou(d, g) = overlap(box, box_at(reference, g, format), true);
    }
  });
}

template void box_iou(TensorView<const float, 2>, TensorView<const float, 2>, BoxFormat,
                      TensorView<const std::uint8_t, 1>, TensorView<float, 2>, int);
template void box_iou(TensorView<const double, 2>, TensorView<const double, 2>, BoxFormat,
                      TensorView<const std::uint8_t, 1>, TensorView<double, 2>, int);

}  // namespace lcx::cpu
