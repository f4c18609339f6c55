// A byte per pixel is read and one written; the background's components are found on bits in between.

#include "core/device_select.cuh"
#include "ops/fill_holes/fill_holes_cuda.hpp"

namespace lcx::cuda {
namespace {

struct Scratches {
  DeviceBits bits;
  DeviceFill fill;
};

Scratches take(Workspace& workspace, std::int64_t height, std::int64_t width) {
  const DeviceBits bits = take_bits(workspace, height, width);
  return {bits, take_fill(workspace, bits)};
}

}  // namespace

std::size_t fill_holes_workspace_bytes(std::int64_t height, std::int64_t width) {
  Workspace counter;
  take(counter, height, width);
  return counter.peak();
}

void enqueue_fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled,
                        Workspace& workspace, Stream stream) {
  const Scratches scratch = take(workspace, mask.shape[0], mask.shape[1]);
  enqueue_nonzero_bits(mask, scratch.bits, stream);
  enqueue_fill(scratch.bits, scratch.fill, stream);
  enqueue_unpack(scratch.bits, filled, stream);
}

void fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled, Stream stream) {
  const DeviceGuard guard(mask.device);
  const Scratch scratch(fill_holes_workspace_bytes(mask.shape[0], mask.shape[1]), mask.device, stream);
  Workspace workspace = scratch.workspace();
  enqueue_fill_holes(mask, filled, workspace, stream);
}

}  // namespace lcx::cuda
