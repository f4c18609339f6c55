// A byte per pixel is read and one written; components are measured on bits in between.

#include "core/device_select.cuh"
#include "ops/remove_small/remove_small_cuda.hpp"

namespace lcx::cuda {
namespace {

struct Memory {
  DeviceBits bits;
  DeviceComponents components;
  DeviceNumbers numbers;
};

Memory take(Workspace& workspace, std::int64_t height, std::int64_t width) {
  const DeviceBits bits = take_bits(workspace, height, width);
  DeviceComponents components = take_components(workspace, bits);
  components.areas = take_areas(workspace, bits);
  return {bits, components, take_numbers(workspace, bits)};
}

}  // namespace

std::size_t remove_small_workspace_bytes(std::int64_t height, std::int64_t width) {
  Workspace counter;
  take(counter, height, width);
  return counter.peak();
}

void enqueue_remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                          TensorView<std::uint8_t, 2> kept, Workspace& workspace, Stream stream) {
  const Memory memory = take(workspace, mask.shape[0], mask.shape[1]);
  enqueue_nonzero_bits(mask, memory.bits, stream);
  if (min_area > 1) {
    enqueue_components(memory.components, connectivity, stream);
    enqueue_areas(memory.components, stream);
    enqueue_numbers(memory.components, min_area, memory.numbers, stream);
    enqueue_select_numbered(memory.components, memory.numbers.numbers, memory.bits, stream);
  }
  enqueue_unpack(memory.bits, kept, stream);
}

void remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                  TensorView<std::uint8_t, 2> kept, Stream stream) {
  const DeviceGuard guard(mask.device);
  const Scratch scratch(remove_small_workspace_bytes(mask.shape[0], mask.shape[1]), mask.device, stream);
  Workspace workspace = scratch.workspace();
  enqueue_remove_small(mask, min_area, connectivity, kept, workspace, stream);
}

}  // namespace lcx::cuda
