#include <algorithm>

#include "ops/breast_mask/breast_mask_cuda.cuh"
#include "ops/breast_mask/device_breast.cuh"

namespace lcx::cuda {
namespace {

// All of the area where the image shows no background.
__global__ void write_mask(DeviceBreast breast, TensorView<std::uint8_t, 2> mask) {
  const std::int64_t at = thread_number();
  if (at >= breast.size()) return;
  const auto y = static_cast<std::int32_t>(at / breast.width);
  const auto x = static_cast<std::int32_t>(at % breast.width);
  const BreastState& state = *breast.state;
  const std::int32_t column = x + breast.margin_x();
  const std::uint32_t word =
      breast.canvas[0].words[std::int64_t{y + breast.margin_y()} * breast.canvas[0].row_words + (column >> 5)];
  const bool is_breast = state.area.holds(y, x) && (state.shows_background == 0 || (word >> (column & 31) & 1U) != 0);
  mask.data[y * mask.strides[0] + x * mask.strides[1]] = is_breast ? 1 : 0;
}

}  // namespace

DeviceBreast take_breast(Workspace& workspace, std::int64_t height, std::int64_t width) {
  DeviceBreast breast;
  breast.height = static_cast<std::int32_t>(height);
  breast.width = static_cast<std::int32_t>(width);
  breast.state = workspace.take<BreastState>(1);
  breast.levels = workspace.take<std::uint16_t>(breast.size());
  breast.sums = workspace.take<std::uint16_t>(breast.size());
  breast.means = workspace.take<std::uint16_t>(breast.size());
  breast.lines = workspace.take<std::int32_t>(std::max(height, width));
  breast.raised = workspace.take<std::int32_t>(width);
  const auto take_canvas = [&] {
    return take_bits(workspace, height + 2 * breast.margin_y(), width + 2 * breast.margin_x());
  };
  breast.bright = take_canvas();
  breast.canvas[0] = take_canvas();
  breast.canvas[1] = take_canvas();
  breast.seeds = take_canvas();
  breast.components = take_components(workspace, breast.canvas[0]);
  breast.components.flags = take_flags(workspace, breast.canvas[0]);
  breast.components.areas = take_areas(workspace, breast.canvas[0]);
  return breast;
}

std::size_t breast_mask_workspace_bytes(std::int64_t height, std::int64_t width) {
  Workspace counter;
  take_breast(counter, height, width);
  return counter.peak();
}

void enqueue_breast_mask(TensorView<const float, 2> image, TensorView<std::uint8_t, 2> mask, Workspace& workspace,
                         Stream stream) {
  const DeviceBreast breast = take_breast(workspace, image.shape[0], image.shape[1]);
  LCX_CUDA_CHECK(cudaMemsetAsync(breast.state, 0, sizeof(BreastState), to_cuda(stream)));
  enqueue_levels(image, breast, stream);
  enqueue_background(breast, stream);
  enqueue_shape(breast, stream);
  LCX_LAUNCH(write_mask, blocks_for(breast.size()), kThreadsPerBlock, 0, to_cuda(stream), breast, mask);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void breast_mask(TensorView<const float, 2> image, TensorView<std::uint8_t, 2> mask, Stream stream) {
  const DeviceGuard guard(image.device);
  const Scratch scratch(breast_mask_workspace_bytes(image.shape[0], image.shape[1]), image.device, stream);
  Workspace workspace = scratch.workspace();
  enqueue_breast_mask(image, mask, workspace, stream);
}

}  // namespace lcx::cuda
