// Each mask becomes bits once (a byte read for each pixel, a bit written); then a block per pair counts. 32 pixels are
// one word and one instruction, and the bits of some hundred masks fit the second-level cache.

#include "core/device_components.cuh"
#include "ops/mask_iou/mask_iou_cuda.hpp"
#include "ops/mask_iou/mask_iou_impl.hpp"

namespace lcx::cuda {
namespace {

constexpr int kWarps = kThreadsPerBlock / 32;

__global__ void count_pairs(DeviceBits predicted, DeviceBits reference, TensorView<const std::uint8_t, 1> crowd,
                            TensorView<double, 2> iou) {
  LCX_SHARED(std::int64_t, sums, 3 * kWarps);
  const std::int64_t d = blockIdx.x / iou.shape[1];
  const std::int64_t g = blockIdx.x % iou.shape[1];
  const std::uint32_t* a = predicted.words + d * predicted.row_words;
  const std::uint32_t* b = reference.words + g * reference.row_words;
  std::int64_t counts[3] = {0, 0, 0};
  for (std::int32_t k = static_cast<std::int32_t>(threadIdx.x); k < predicted.row_words; k += kThreadsPerBlock) {
    counts[0] += __popc(a[k] & b[k]);
    counts[1] += __popc(a[k]);
    counts[2] += __popc(b[k]);
  }
  for (int c = 0; c < 3; ++c) {
    for (int step = 16; step > 0; step /= 2) counts[c] += __shfl_xor_sync(kAllLanes, counts[c], step);
    if ((threadIdx.x & 31) == 0) sums[c * kWarps + static_cast<int>(threadIdx.x >> 5)] = counts[c];
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  std::int64_t totals[3] = {0, 0, 0};
  for (int c = 0; c < 3; ++c) {
    for (int w = 0; w < kWarps; ++w) totals[c] += sums[c * kWarps + w];
  }
  const bool is_crowd = crowd.data != nullptr && crowd.data[g * crowd.strides[0]] != 0;
  iou.data[blockIdx.x] = overlap_of_counts(totals[0], totals[1], totals[2], is_crowd);
}

}  // namespace

std::size_t mask_iou_workspace_bytes(std::int64_t detections, std::int64_t references, std::int64_t pixels) {
  Workspace counter;
  take_bits(counter, detections, pixels);
  take_bits(counter, references, pixels);
  return counter.peak();
}

void enqueue_mask_iou(TensorView<const std::uint8_t, 2> predicted, TensorView<const std::uint8_t, 2> reference,
                      TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, Workspace& workspace,
                      Stream stream) {
  require_argument(iou.size() < (std::int64_t{1} << 31), "iou is ", shape_text(iou.shape),
                   "; on a GPU fewer than 2^31 pairs");
  const DeviceBits a = take_bits(workspace, predicted.shape[0], predicted.shape[1]);
  const DeviceBits b = take_bits(workspace, reference.shape[0], reference.shape[1]);
  if (predicted.shape[1] > 0) {
    enqueue_nonzero_bits(predicted, a, stream);
    enqueue_nonzero_bits(reference, b, stream);
  }
  LCX_LAUNCH(count_pairs, static_cast<unsigned>(iou.size()), kThreadsPerBlock, 0, to_cuda(stream), a, b, crowd, iou);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void mask_iou(TensorView<const std::uint8_t, 2> predicted, TensorView<const std::uint8_t, 2> reference,
              TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, Stream stream) {
  const DeviceGuard guard(iou.device);
  const Scratch scratch(mask_iou_workspace_bytes(predicted.shape[0], reference.shape[0], predicted.shape[1]),
                        iou.device, stream);
  Workspace workspace = scratch.workspace();
  enqueue_mask_iou(predicted, reference, crowd, iou, workspace, stream);
}

}  // namespace lcx::cuda
