// The mask becomes bits, runs are labelled by union-find (Note [Device bits]) and painted. For each pixel a byte is
// read and, in the foreground, four are written; all between stays in the second-level cache.

#include "core/device_components.cuh"
#include "ops/label_components/label_components_cuda.hpp"

namespace lcx::cuda {
namespace {

// A warp paints 32 neighbouring words, one after another: a lane per pixel, so that 128 bytes are written together.
__global__ void paint(DeviceComponents components, const std::int32_t* numbers, TensorView<std::int32_t, 2> labels) {
  const DeviceBits& bits = components.bits;
  const int lane = static_cast<int>(threadIdx.x & 31);
  const std::int64_t first = thread_number() / 32 * 32;
  if (first >= bits.word_count()) return;
  const std::int64_t own = first + lane;
  const std::uint32_t own_bits = own < bits.word_count() ? bits.words[own] : 0;
  const unsigned busy = __ballot_sync(kAllLanes, own_bits != 0);
  for (unsigned rest = busy; rest; rest &= rest - 1) {
    const int k = __ffs(static_cast<int>(rest)) - 1;
    const std::uint32_t word = __shfl_sync(kAllLanes, own_bits, k);
    if (!(word >> lane & 1U)) continue;
    const auto y = static_cast<std::int32_t>((first + k) / bits.row_words);
    const auto column = static_cast<std::int32_t>((first + k) % bits.row_words);
    const std::int32_t root = components.parents[node_at(components, y, column, word, lane)];
    labels.data[y * labels.strides[0] + 32 * column + lane] = numbers[root];
  }
}

}  // namespace

const std::int32_t* enqueue_label_components(TensorView<const std::uint8_t, 2> mask, Connectivity connectivity,
                                             TensorView<std::int32_t, 2> labels, Workspace& workspace, Stream stream) {
  const DeviceBits bits = take_bits(workspace, mask.shape[0], mask.shape[1]);
  const DeviceComponents components = take_components(workspace, bits);
  const DeviceNumbers numbers = take_numbers(workspace, bits);
  enqueue_nonzero_bits(mask, bits, stream);
  enqueue_components(components, connectivity, stream);
  enqueue_numbers(components, 0, numbers, stream);
  LCX_LAUNCH(paint, blocks_for(bits.word_count()), kThreadsPerBlock, 0, to_cuda(stream), components, numbers.numbers,
             labels);
  LCX_CUDA_CHECK(cudaGetLastError());
  return numbers.count;
}

std::size_t label_components_workspace_bytes(std::int64_t height, std::int64_t width) {
  Workspace counter;
  const DeviceBits bits = take_bits(counter, height, width);
  take_components(counter, bits);
  take_numbers(counter, bits);
  return counter.peak();
}

std::int32_t label_components(TensorView<const std::uint8_t, 2> mask, Connectivity connectivity,
                              TensorView<std::int32_t, 2> labels, Stream stream) {
  const DeviceGuard guard(mask.device);
  const Scratch scratch(label_components_workspace_bytes(mask.shape[0], mask.shape[1]), mask.device, stream);
  Workspace workspace = scratch.workspace();
  return download_value(enqueue_label_components(mask, connectivity, labels, workspace, stream), stream);
}

}  // namespace lcx::cuda
