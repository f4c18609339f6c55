// A warp takes 32 neighbouring pixels; lanes of one label find each other and one of them adds for all. Without values
// four bytes are read for each pixel; with them, eight a pass and six passes. Labels are taken in portions, so that
// scratch stays within some 30 MB however many there are.

#include <algorithm>

#include "core/device_regions.cuh"
#include "ops/region_props/region_props_cuda.hpp"

namespace lcx::cuda {
namespace {

constexpr std::int32_t kPortion = 1 << 14;

/// Labels first + 1 .. first + capacity as regions 0 .. capacity - 1.
struct LabelImage {
  TensorView<const std::int32_t, 2> labels;
  std::int32_t first;
  std::int32_t count;
  std::int32_t* wrong;  // a label that is out of range, if there is one

  LCX_HOST_DEVICE std::int64_t row_words() const { return (labels.shape[1] + 31) / 32; }
  LCX_HOST_DEVICE std::int64_t word_count() const { return labels.shape[0] * row_words(); }
  __device__ bool may_hold(std::int64_t) const { return true; }
  __device__ std::int32_t region(std::int64_t, std::int32_t y, std::int32_t x) const {
    if (x >= labels.shape[1]) return -1;
    const std::int32_t label = labels.data[y * labels.strides[0] + x * labels.strides[1]];
    if (label < 0 || label > count) atomicExch(wrong, label);
    return label > first ? label - 1 - first : -1;
  }
};

struct Output {
  std::int32_t* wrong = nullptr;    // [1] a label that is out of range, or 0
  DeviceRegion* regions = nullptr;  // [at least 1]
  const char* begin() const { return reinterpret_cast<const char*>(wrong); }
};

Output take_output(Workspace& workspace, std::int32_t count) {
  Output output;
  output.wrong = workspace.take<std::int32_t>(1);
  output.regions = workspace.take<DeviceRegion>(std::max(count, 1));
  return output;
}

}  // namespace

std::size_t region_props_workspace_bytes(std::int32_t count, bool has_values) {
  Workspace counter;
  const Output output = take_output(counter, count);
  take_regions(counter, std::clamp(count, 1, kPortion), has_values, output.regions);
  return counter.peak();  // more than enough: where nothing is real the regions are taken twice
}

DeviceProps enqueue_region_props(TensorView<const std::int32_t, 2> labels, TensorView<const float, 2> values,
                                 std::int32_t count, Workspace& workspace, Stream stream) {
  const bool has_values = values.data != nullptr;
  const Output output = take_output(workspace, count);
  DeviceRegionTable table = take_regions(workspace, std::clamp(count, 1, kPortion), has_values, output.regions);
  LCX_CUDA_CHECK(cudaMemsetAsync(output.wrong, 0, sizeof(*output.wrong), to_cuda(stream)));
  // Even without a label to measure the image is gone through, so that one out of range is found.
  for (std::int32_t first = 0; first == 0 || first < count; first += kPortion) {
    table.capacity = std::clamp(count - first, 1, kPortion);
    table.regions = output.regions + first;
    if (!labels.empty()) {
      enqueue_measure(LabelImage{labels, first, count, output.wrong}, values, table, stream);
    } else {
      LCX_LAUNCH(regions::clear_regions<>, warp_blocks_for(table.capacity), kThreadsPerBlock, 0, to_cuda(stream),
                 table);
    }
  }
  LCX_CUDA_CHECK(cudaGetLastError());
  const auto* end = reinterpret_cast<const char*>(output.regions + std::max(count, 1));
  return {output.begin(), static_cast<std::size_t>(end - output.begin()), count, has_values};
}

RegionProps props_on_host(const DeviceProps& props, const void* host) {
  // The same arithmetic as on the device gives each array's distance from the first.
  Workspace layout(const_cast<void*>(host), props.bytes + 4096);
  const Output output = take_output(layout, props.count);
  const std::int32_t label = *output.wrong;
  require_argument(label == 0, "label ", label, "; must be within 0 and count (", props.count, ")");
  RegionProps result;
  for (std::int32_t k = 0; k < props.count; ++k) {
    result.geometry.push_back(geometry_of(output.regions[k]));
    if (props.has_values) result.values.push_back(output.regions[k].values);
  }
  return result;
}

RegionProps region_props(TensorView<const std::int32_t, 2> labels, TensorView<const float, 2> values,
                         std::int32_t count, Stream stream) {
  const DeviceGuard guard(labels.device);
  const Scratch scratch(region_props_workspace_bytes(count, values.data != nullptr), labels.device, stream);
  Workspace workspace = scratch.workspace();
  const DeviceProps props = enqueue_region_props(labels, values, count, workspace, stream);
  std::vector<double> host((props.bytes + sizeof(double) - 1) / sizeof(double));  // aligned for all that is in it
  download(host.data(), props.data, props.bytes, stream);
  return props_on_host(props, host.data());
}

}  // namespace lcx::cuda
