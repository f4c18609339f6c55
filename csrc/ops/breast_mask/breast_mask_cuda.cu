// The steps follow one another on an image of half a megapixel at most, which takes the CPU a millisecond and would
// leave a GPU idle between some hundred tiny kernels. So the image goes to the host and the mask comes back: the twin
// is there for callers whose image is on the GPU, not for speed.

#include <vector>

#include "core/cuda_support.cuh"
#include "ops/breast_mask/breast_mask.hpp"

namespace lcx::cuda {
namespace {

template <typename T>
__global__ void copy_pixels(TensorView<const T, 2> from, TensorView<T, 2> to) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= from.shape[0] * from.shape[1]) return;
  const std::int64_t y = at / from.shape[1];
  const std::int64_t x = at % from.shape[1];
  to.data[y * to.strides[0] + x * to.strides[1]] = from.data[y * from.strides[0] + x * from.strides[1]];
}

template <typename T>
void enqueue_copy(TensorView<const T, 2> from, TensorView<T, 2> to, Stream stream) {
  LCX_LAUNCH(copy_pixels<T>, blocks_for(from.size()), kThreadsPerBlock, 0, to_cuda(stream), from, to);
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace

void breast_mask(TensorView<const float, 2> image, TensorView<std::uint8_t, 2> mask, Stream stream) {
  const DeviceGuard guard(image.device);
  Workspace counter;
  counter.take<float>(image.size());
  counter.take<std::uint8_t>(mask.size());
  const Scratch scratch(counter.peak(), image.device, stream);
  Workspace workspace = scratch.workspace();
  const TensorView<float, 2> dense_image(workspace.take<float>(image.size()), image.shape, image.device);
  const TensorView<std::uint8_t, 2> dense_mask(workspace.take<std::uint8_t>(mask.size()), mask.shape, mask.device);
  enqueue_copy(image, dense_image, stream);
  const std::vector<float> pixels = download_array<float>(dense_image.data, image.size(), stream);
  std::vector<std::uint8_t> flags(static_cast<std::size_t>(mask.size()));
  cpu::breast_mask({pixels.data(), image.shape}, {flags.data(), mask.shape});
  upload(dense_mask.data, flags.data(), flags.size(), stream);
  enqueue_copy<std::uint8_t>(dense_mask, mask, stream);
}

}  // namespace lcx::cuda
