// Boundaries as lists ranked by pointer doubling (Note [Crack lists]). A byte per pixel is read; the rest is
// proportional to the number of pixel edges, times its logarithm.

#include <optional>

#include "core/device_cracks.cuh"
#include "ops/trace_contours/trace_contours.hpp"

namespace lcx::cuda {
namespace {

constexpr std::int32_t kFirstCapacity = 1 << 14;

struct Header {
  std::int32_t cracks, loops, points;
};

struct Output {
  Header* header = nullptr;
  std::int32_t* offsets = nullptr;  // [loops + 1]
  std::uint8_t* is_hole = nullptr;  // [loops]
  int2* points = nullptr;           // [cracks], of which fewer are used
  std::int32_t loop_capacity = 0;
};

struct Memory {
  DeviceBits bits;
  DeviceCracks cracks;
  Output output;
};

Memory take(Workspace& workspace, const TensorView<const std::uint8_t, 2>& mask, std::int32_t capacity) {
  Memory memory;
  memory.bits = take_bits(workspace, mask.shape[0], mask.shape[1]);
  memory.cracks = take_cracks(workspace, memory.bits, capacity);
  memory.output.loop_capacity = capacity / 4;  // a single pixel has four edges
  memory.output.header = workspace.take<Header>(1);
  memory.output.offsets = workspace.take<std::int32_t>(memory.output.loop_capacity + 1);
  memory.output.is_hole = workspace.take<std::uint8_t>(memory.output.loop_capacity);
  memory.output.points = workspace.take<int2>(capacity);
  return memory;
}

__global__ void write_points(DeviceCracks cracks, Output output) {
  const std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k == 0) *output.header = {*cracks.total, *cracks.loop_total, *cracks.point_total};
  if (k >= *cracks.total || *cracks.total > cracks.capacity) return;
  const std::int32_t place = point_place(cracks, static_cast<std::int32_t>(k));
  if (place < 0) return;
  // The corner that a crack starts from: its pixel's corner behind it on the left.
  const int heading = cracks.headings[k];
  const auto word = static_cast<std::int32_t>(cracks.pixels[k] >> 5);
  const std::int32_t y = word / cracks.bits.row_words + (heading >= 2 ? 1 : 0);
  const std::int32_t x = word % cracks.bits.row_words * 32 + static_cast<std::int32_t>(cracks.pixels[k] & 31U) +
                         (heading == 1 || heading == 2 ? 1 : 0);
  output.points[place] = make_int2(y, x);
}

/// Nothing if there are more than `capacity` edges; then `capacity` becomes their number.
std::optional<Contours> attempt(TensorView<const std::uint8_t, 2> mask, std::int32_t& capacity, Stream stream) {
  Workspace counter;
  take(counter, mask, capacity);
  const Scratch scratch(counter.peak(), mask.device, stream);
  Workspace workspace = scratch.workspace();
  const Memory memory = take(workspace, mask, capacity);
  const Output& output = memory.output;
  enqueue_nonzero_bits(mask, memory.bits, stream);
  enqueue_cracks(memory.cracks, CrackHead::kFirstLeftEdge, CrackPoint::kCorner, {}, nullptr, stream);
  enqueue_loops(memory.cracks, CrackHead::kFirstLeftEdge, output.loop_capacity, output.offsets, output.is_hole, stream);
  LCX_LAUNCH(write_points, blocks_for(capacity), kThreadsPerBlock, 0, to_cuda(stream), memory.cracks, output);
  LCX_CUDA_CHECK(cudaGetLastError());
  // One download: the arrays lie behind each other.
  const auto* first = reinterpret_cast<const char*>(output.header);
  const auto* end = reinterpret_cast<const char*>(output.points + capacity);
  const std::vector<char> host = download_array(first, end - first, stream);
  const auto at = [&](const auto* device) {
    return reinterpret_cast<decltype(device)>(host.data() + (reinterpret_cast<const char*>(device) - first));
  };
  const Header header = *at(output.header);
  if (header.cracks > capacity) {
    capacity = header.cracks;
    return std::nullopt;
  }
  Contours contours;
  contours.polygons.offsets.assign(at(output.offsets), at(output.offsets) + header.loops + 1);
  contours.is_hole.assign(at(output.is_hole), at(output.is_hole) + header.loops);
  for (std::int32_t k = 0; k < header.points; ++k) {
    contours.polygons.points.push_back({at(output.points)[k].x, at(output.points)[k].y});
  }
  return contours;
}

}  // namespace

Contours trace_contours(TensorView<const std::uint8_t, 2> mask, Stream stream) {
  const DeviceGuard guard(mask.device);
  std::int32_t capacity = kFirstCapacity;
  if (auto contours = attempt(mask, capacity, stream)) return std::move(*contours);
  return attempt(mask, capacity, stream).value();
}

}  // namespace lcx::cuda
