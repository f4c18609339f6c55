// A warp takes 32 neighbouring pixels; lanes of one label find each other and one of them adds for all. Without values
// four bytes are read for each pixel; with them, eight a pass and six passes. Labels are taken in portions, so that
// scratch stays within some 30 MB however many there are.

#include <algorithm>

#include "core/device_regions.cuh"
#include "ops/region_props/region_props.hpp"

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

}  // namespace

RegionProps region_props(TensorView<const std::int32_t, 2> labels, TensorView<const float, 2> values,
                         std::int32_t count, Stream stream) {
  const DeviceGuard guard(labels.device);
  const bool has_values = values.data != nullptr;
  RegionProps props;
  for (std::int32_t first = 0; first == 0 || first < count; first += kPortion) {
    // Even without a label to measure the image is gone through, so that one out of range is found.
    const std::int32_t portion = std::max(std::min(kPortion, count - first), 1);
    Workspace counter;
    take_regions(counter, portion, has_values);
    counter.take<std::int32_t>(1);
    const Scratch scratch(counter.peak(), labels.device, stream);
    Workspace workspace = scratch.workspace();
    const DeviceRegionTable table = take_regions(workspace, portion, has_values);
    auto* wrong = workspace.take<std::int32_t>(1);
    LCX_CUDA_CHECK(cudaMemsetAsync(wrong, 0, sizeof(*wrong), to_cuda(stream)));
    if (!labels.empty()) {
      enqueue_measure(LabelImage{labels, first, count, wrong}, values, table, stream);
    } else {
      LCX_LAUNCH(regions::clear_regions<>, blocks_for(portion), kThreadsPerBlock, 0, to_cuda(stream), table);
    }
    const auto found = download_array(table.regions, portion, stream);
    const std::int32_t label = download_value(wrong, stream);
    require_argument(label == 0, "label ", label, "; must be within 0 and count (", count, ")");
    for (std::int32_t k = 0; k < portion && first + k < count; ++k) {
      props.geometry.push_back(geometry_of(found[static_cast<std::size_t>(k)]));
      if (has_values) props.values.push_back(found[static_cast<std::size_t>(k)].values);
    }
  }
  return props;
}

}  // namespace lcx::cuda
