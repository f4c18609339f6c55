// Four bytes a pixel are read and one written; components are chosen on bits in between.

#include "core/device_select.cuh"
#include "ops/hysteresis/hysteresis_cuda.hpp"

namespace lcx::cuda {
namespace {

struct Memory {
  DeviceBits bits, high;
  DeviceComponents components;
};

Memory take(Workspace& workspace, std::int64_t height, std::int64_t width) {
  const DeviceBits bits = take_bits(workspace, height, width);
  const DeviceBits high = take_bits(workspace, height, width);
  DeviceComponents components = take_components(workspace, bits);
  components.flags = take_flags(workspace, bits);
  return {bits, high, components};
}

}  // namespace

std::size_t hysteresis_workspace_bytes(std::int64_t height, std::int64_t width) {
  Workspace counter;
  take(counter, height, width);
  return counter.peak();
}

void enqueue_hysteresis(TensorView<const float, 2> values, float low, float high, Connectivity connectivity,
                        TensorView<std::uint8_t, 2> mask, Workspace& workspace, Stream stream) {
  const Memory memory = take(workspace, values.shape[0], values.shape[1]);
  const bool has_seeds = high > low;
  enqueue_threshold_bits(values, low, high, memory.bits, has_seeds ? memory.high : DeviceBits{}, stream);
  if (has_seeds) {
    enqueue_components(memory.components, connectivity, stream);
    enqueue_flag_seeded(memory.components, memory.high, stream);
    enqueue_select_flagged(memory.components, memory.bits, stream);
  }
  enqueue_unpack(memory.bits, mask, stream);
}

void hysteresis(TensorView<const float, 2> values, float low, float high, Connectivity connectivity,
                TensorView<std::uint8_t, 2> mask, Stream stream) {
  const DeviceGuard guard(values.device);
  const Scratch scratch(hysteresis_workspace_bytes(values.shape[0], values.shape[1]), values.device, stream);
  Workspace workspace = scratch.workspace();
  enqueue_hysteresis(values, low, high, connectivity, mask, workspace, stream);
}

}  // namespace lcx::cuda
