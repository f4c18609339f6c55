// A thread per pair; neighbouring threads write neighbouring entries. The boxes come from the cache, so an entry's 4 or
// 8 bytes are all that main memory sees.

#include "core/box.hpp"
#include "core/cuda_support.cuh"
#include "ops/box_iou/box_iou_cuda.hpp"

namespace lcx::cuda {
namespace {

template <typename T>
__device__ inline Box<T> box_at(const TensorView<const T, 2>& boxes, std::int64_t i, BoxFormat format) {
  const T* row = boxes.data + i * boxes.strides[0];
  const std::int64_t step = boxes.strides[1];
  return format == BoxFormat::kXyxy ? Box<T>::from_corners(row[0], row[step], row[2 * step], row[3 * step])
                                    : Box<T>::from_sides(row[0], row[step], row[2 * step], row[3 * step]);
}

template <typename T>
__global__ void overlap_pairs(TensorView<const T, 2> predicted, TensorView<const T, 2> reference, BoxFormat format,
                              TensorView<const std::uint8_t, 1> crowd, TensorView<T, 2> iou) {
  const std::int64_t at = thread_number();
  if (at >= iou.shape[0] * iou.shape[1]) return;
  const std::int64_t d = at / iou.shape[1];
  const std::int64_t g = at % iou.shape[1];
  const bool is_crowd = crowd.data != nullptr && crowd.data[g * crowd.strides[0]] != 0;
  iou.data[at] = overlap(box_at(predicted, d, format), box_at(reference, g, format), is_crowd);
}

}  // namespace

template <typename T>
void enqueue_box_iou(TensorView<const T, 2> predicted, TensorView<const T, 2> reference, BoxFormat format,
                     TensorView<const std::uint8_t, 1> crowd, TensorView<T, 2> iou, Stream stream) {
  LCX_LAUNCH(overlap_pairs<T>, blocks_for(iou.size()), kThreadsPerBlock, 0, to_cuda(stream), predicted, reference,
             format, crowd, iou);
  LCX_CUDA_CHECK(cudaGetLastError());
}

template <typename T>
void box_iou(TensorView<const T, 2> predicted, TensorView<const T, 2> reference, BoxFormat format,
             TensorView<const std::uint8_t, 1> crowd, TensorView<T, 2> iou, Stream stream) {
  const DeviceGuard guard(iou.device);
  enqueue_box_iou(predicted, reference, format, crowd, iou, stream);
}

template void enqueue_box_iou(TensorView<const float, 2>, TensorView<const float, 2>, BoxFormat,
                              TensorView<const std::uint8_t, 1>, TensorView<float, 2>, Stream);
template void enqueue_box_iou(TensorView<const double, 2>, TensorView<const double, 2>, BoxFormat,
                              TensorView<const std::uint8_t, 1>, TensorView<double, 2>, Stream);
template void box_iou(TensorView<const float, 2>, TensorView<const float, 2>, BoxFormat,
                      TensorView<const std::uint8_t, 1>, TensorView<float, 2>, Stream);
template void box_iou(TensorView<const double, 2>, TensorView<const double, 2>, BoxFormat,
                      TensorView<const std::uint8_t, 1>, TensorView<double, 2>, Stream);

}  // namespace lcx::cuda
