// Where a grid pixel covers several image pixels, a block makes a piece of a grid row: its threads average down the
// columns of the image, 16 bytes a load and all rows of a column in the same thread, into shared memory; then a thread
// a grid pixel averages across. So the image comes from memory once (twice where grid rows share an image row), in
// whole cache lines, and each average is written once: H * W * sizeof(T) + 4 * h * w bytes. The order of operations,
// down and then across, is the CPU's.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/area_taps.hpp"
#include "core/pixel_types.hpp"
#include "core/tile_grid.hpp"
#include "ops/resample/resample.hpp"
#include "ops/resample/resample_cuda.cuh"

namespace lcx::cuda {
namespace {

constexpr int kColumns = 2048;  // of the image, that a block holds
/// Within these a block has enough to do and room for it.
constexpr double kLeastScale = 2.0;
constexpr double kMostScale = 256.0;

struct Scale {
  double y, x;
};

template <typename T>
struct Wide {  // 16 bytes
  static constexpr int kCount = 16 / static_cast<int>(sizeof(T));
  alignas(16) T values[kCount];
};

template <typename T>
__device__ inline Wide<T> load_row(const T* at) {
  return *reinterpret_cast<const Wide<T>*>(at);
}

template <typename T>
__device__ inline void add_row(const Wide<T>& row, float weight, float (&sums)[Wide<T>::kCount]) {
  for (int k = 0; k < Wide<T>::kCount; ++k) sums[k] += weight * static_cast<float>(row.values[k]);
}

/// Means of neighbouring columns over the rows of `taps`; the first column begins a 16-byte word in every row.
template <typename T>
__device__ inline void wide_means(const T* at, std::int64_t row_step, const Taps& taps,
                                  float (&sums)[Wide<T>::kCount]) {
  constexpr int kInFlight = 4;  // loads asked for before the first is used
  for (float& sum : sums) sum = 0.0F;
  add_row(load_row(at), taps.first_weight, sums);
  std::int64_t k = 1;
  for (; k + kInFlight < taps.count; k += kInFlight) {
    Wide<T> rows[kInFlight];
    for (int r = 0; r < kInFlight; ++r) rows[r] = load_row(at + (k + r) * row_step);
    for (int r = 0; r < kInFlight; ++r) add_row(rows[r], 1.0F, sums);
  }
  for (; k + 1 < taps.count; ++k) add_row(load_row(at + k * row_step), 1.0F, sums);
  if (taps.count == 1) return;
  add_row(load_row(at + (taps.count - 1) * row_step), taps.last_weight, sums);
  for (float& sum : sums) sum *= taps.scale;
}

template <typename T>
__device__ inline float column_mean(const T* at, std::int64_t row_step, const Taps& taps) {
  float sum = taps.first_weight * static_cast<float>(*at);
  for (std::int64_t k = 1; k + 1 < taps.count; ++k) sum += static_cast<float>(at[k * row_step]);
  if (taps.count == 1) return sum;
  return (sum + taps.last_weight * static_cast<float>(at[(taps.count - 1) * row_step])) * taps.scale;
}

/// The mean of column means over the columns of `taps`.
template <typename Column>
__device__ inline float row_mean(const Taps& taps, const Column& column) {
  float sum = column(taps.first) * taps.first_weight;
  for (std::int64_t k = 1; k + 1 < taps.count; ++k) sum += column(taps.first + k);
  if (taps.count == 1) return sum;
  return (sum + column(taps.first + taps.count - 1) * taps.last_weight) * taps.scale;
}

template <typename T>
__global__ void average_piece(TensorView<const T, 2> image, Scale scale, bool is_wide, std::int32_t piece,
                              TensorView<float, 2> averages) {
  LCX_SHARED(float, means, kColumns);
  const std::int64_t y = blockIdx.y;
  const std::int64_t first = std::int64_t{blockIdx.x} * piece;
  const std::int64_t last = min(first + piece, averages.shape[1]) - 1;
  const Taps rows = area_taps(y, scale.y, image.shape[0]);
  const Taps last_columns = area_taps(last, scale.x, image.shape[1]);
  constexpr int kCount = Wide<T>::kCount;
  // Whole words: the first may begin before the first column that is needed.
  const std::int64_t begin = area_taps(first, scale.x, image.shape[1]).first / kCount * kCount;
  const std::int64_t end = last_columns.first + last_columns.count;
  const T* row = image.data + rows.first * image.strides[0];
  const std::int64_t whole_end = is_wide ? min((end + kCount - 1), image.shape[1]) / kCount * kCount : begin;
  for (std::int64_t x = begin + std::int64_t{threadIdx.x} * kCount; x < whole_end; x += kThreadsPerBlock * kCount) {
    float sums[kCount];
    wide_means(row + x, image.strides[0], rows, sums);
    for (int k = 0; k < kCount; ++k) means[x - begin + k] = sums[k];
  }
  for (std::int64_t x = max(whole_end, begin) + threadIdx.x; x < end; x += kThreadsPerBlock) {
    means[x - begin] = column_mean(row + x * image.strides[1], image.strides[0], rows);
  }
  __syncthreads();
  for (std::int64_t x = first + threadIdx.x; x <= last; x += kThreadsPerBlock) {
    const Taps columns = area_taps(x, scale.x, image.shape[1]);
    averages.data[y * averages.strides[0] + x] = row_mean(columns, [&](std::int64_t at) { return means[at - begin]; });
  }
}

// A thread a grid pixel: where it covers a few image pixels at most, or very many.
template <typename T>
__global__ void average_pixel(TensorView<const T, 2> image, Scale scale, TensorView<float, 2> averages) {
  const std::int64_t x = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t y = blockIdx.y;
  if (x >= averages.shape[1]) return;
  const Taps rows = area_taps(y, scale.y, image.shape[0]);
  const Taps columns = area_taps(x, scale.x, image.shape[1]);
  averages.data[y * averages.strides[0] + x] = row_mean(columns, [&](std::int64_t at) {
    return column_mean(image.data + rows.first * image.strides[0] + at * image.strides[1], image.strides[0], rows);
  });
}

template <typename T>
bool has_wide_rows(const TensorView<const T, 2>& image) {
  return image.strides[1] == 1 && image.strides[0] * static_cast<std::int64_t>(sizeof(T)) % 16 == 0 &&
         reinterpret_cast<std::uintptr_t>(image.data) % 16 == 0;
}

}  // namespace

template <typename T>
void enqueue_resample(TensorView<const T, 2> image, std::array<double, 2> scale, TensorView<float, 2> averages,
                      Stream stream) {
  constexpr std::int64_t kMostRows = 65535;  // of a CUDA grid's second axis
  require_argument(averages.shape[0] <= kMostRows, "averages are ", shape_text(averages.shape), "; on a GPU at most ",
                   kMostRows, " rows");
  const auto rows = static_cast<unsigned>(averages.shape[0]);
  if (scale[1] < kLeastScale || scale[1] > kMostScale) {
    const dim3 blocks(blocks_for(averages.shape[1]).x, rows);
    LCX_LAUNCH(average_pixel<T>, blocks, kThreadsPerBlock, 0, to_cuda(stream), image, Scale{scale[0], scale[1]},
               averages);
  } else {
    // A piece covers at most its pixels and one more on each side, and begins up to a word early.
    const auto piece = static_cast<std::int32_t>(std::floor((kColumns - 2 - 2 * Wide<T>::kCount) / scale[1]));
    const dim3 blocks(static_cast<unsigned>((averages.shape[1] + piece - 1) / piece), rows);
    LCX_LAUNCH(average_piece<T>, blocks, kThreadsPerBlock, 0, to_cuda(stream), image, Scale{scale[0], scale[1]},
               has_wide_rows(image), piece, averages);
  }
  LCX_CUDA_CHECK(cudaGetLastError());
}

template <typename T>
void resample(TensorView<const T, 2> image, std::span<const std::array<double, 2>> scales,
              std::span<const TensorView<float, 2>> averages, Stream stream) {
  const DeviceGuard guard(image.device);
  for (std::size_t k = 0; k < scales.size(); ++k) enqueue_resample(image, scales[k], averages[k], stream);
}

#define LCX_INSTANTIATE(T)                                                                                        \
  template void enqueue_resample<T>(TensorView<const T, 2>, std::array<double, 2>, TensorView<float, 2>, Stream); \
  template void resample<T>(TensorView<const T, 2>, std::span<const std::array<double, 2>>,                       \
                            std::span<const TensorView<float, 2>>, Stream);
LCX_FOR_EACH_PIXEL_TYPE(LCX_INSTANTIATE)

}  // namespace lcx::cuda
