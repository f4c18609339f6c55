// Boundaries as lists ranked by pointer doubling (Note [Crack lists]). A byte per pixel is read; the rest is
// proportional to the number of pixel edges, times its logarithm.

#include <optional>

#include "core/device_cracks.cuh"
#include "ops/trace_contours/trace_contours_cuda.hpp"

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

Output take_output(Workspace& workspace, std::int32_t edges) {
  Output output;
  output.loop_capacity = edges / 4;  // a single pixel has four edges
  output.header = workspace.take<Header>(1);
  output.offsets = workspace.take<std::int32_t>(output.loop_capacity + 1);
  output.is_hole = workspace.take<std::uint8_t>(output.loop_capacity);
  output.points = workspace.take<int2>(edges);
  return output;
}

Memory take(Workspace& workspace, std::int64_t height, std::int64_t width, std::int32_t edges) {
  Memory memory;
  memory.output = take_output(workspace, edges);
  memory.bits = take_bits(workspace, height, width);
  memory.cracks = take_cracks(workspace, memory.bits, edges);
  return memory;
}

__global__ void write_points(DeviceCracks cracks, Output output) {
  const std::int64_t k = thread_number();
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

}  // namespace

std::size_t trace_contours_workspace_bytes(std::int64_t height, std::int64_t width, std::int32_t edges) {
  Workspace counter;
  take(counter, height, width, edges);
  return counter.peak();
}

DeviceContours enqueue_trace_contours(TensorView<const std::uint8_t, 2> mask, std::int32_t edges, Workspace& workspace,
                                      Stream stream) {
  const Memory memory = take(workspace, mask.shape[0], mask.shape[1], edges);
  const Output& output = memory.output;
  enqueue_nonzero_bits(mask, memory.bits, stream);
  enqueue_cracks(memory.cracks, CrackHead::kFirstLeftEdge, CrackPoint::kCorner, {}, nullptr, stream);
  enqueue_loops(memory.cracks, CrackHead::kFirstLeftEdge, output.loop_capacity, output.offsets, output.is_hole, stream);
  LCX_LAUNCH(write_points, blocks_for(edges), kThreadsPerBlock, 0, to_cuda(stream), memory.cracks, output);
  LCX_CUDA_CHECK(cudaGetLastError());
  const auto* first = reinterpret_cast<const char*>(output.header);
  const auto* end = reinterpret_cast<const char*>(output.points + edges);
  return {first, static_cast<std::size_t>(end - first), edges};
}

std::optional<Contours> contours_on_host(const DeviceContours& contours, const void* host, std::int32_t& needed) {
  // The same arithmetic as on the device gives each array's distance from the first.
  Workspace layout(const_cast<void*>(host), contours.bytes + 4096);
  const Output output = take_output(layout, contours.edges);
  const Header& header = *output.header;
  needed = header.cracks;
  if (header.cracks > contours.edges) return std::nullopt;
  Contours result;
  result.polygons.offsets.assign(output.offsets, output.offsets + header.loops + 1);
  result.is_hole.assign(output.is_hole, output.is_hole + header.loops);
  for (std::int32_t k = 0; k < header.points; ++k) {
    result.polygons.points.push_back({output.points[k].x, output.points[k].y});
  }
  return result;
}

Contours trace_contours(TensorView<const std::uint8_t, 2> mask, Stream stream) {
  const DeviceGuard guard(mask.device);
  std::int32_t edges = kFirstCapacity;
  const auto attempt = [&]() -> std::optional<Contours> {
    const std::size_t bytes = trace_contours_workspace_bytes(mask.shape[0], mask.shape[1], edges);
    const Scratch scratch(bytes, mask.device, stream);
    Workspace workspace = scratch.workspace();
    const DeviceContours found = enqueue_trace_contours(mask, edges, workspace, stream);
    std::vector<double> host((found.bytes + sizeof(double) - 1) / sizeof(double));  // aligned for all that is in it
    download(host.data(), found.data, found.bytes, stream);
    return contours_on_host(found, host.data(), edges);
  };
  if (auto contours = attempt()) return std::move(*contours);
  return attempt().value();
}

}  // namespace lcx::cuda
