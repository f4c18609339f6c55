// The map is read once whole (4 bytes a pixel), to make bits of it. Hysteresis, filling and components work on the bits
// (Note [Device bits]), which stay in the cache; then only pixels inside lesions are read again, to measure them
// (Note [Exact sums]) and to place their outlines (Note [Crack lists]).

#include <algorithm>

#include "core/branch.cuh"
#include "core/device_cracks.cuh"
#include "core/device_regions.cuh"
#include "core/device_select.cuh"
#include "ops/find_lesions/find_lesions_cuda.hpp"
#include "ops/find_lesions/find_lesions_impl.hpp"

namespace lcx::cuda {
namespace {

constexpr std::int32_t kPortion = 1 << 14;  // lesions measured at once: bounds the scratch at some 30 MB

struct Header {
  std::int32_t lesions, edges, points;
};

struct Point {
  double y, x;
};

/// Results, one behind the other.
struct Output {
  Header* header = nullptr;
  DeviceRegion* regions = nullptr;  // [lesions]
  std::int32_t* offsets = nullptr;  // [lesions + 1]
  Point* points = nullptr;          // [edges]

  const char* begin() const { return reinterpret_cast<const char*>(header); }
  std::size_t bytes(LesionCapacity capacity) const {
    return static_cast<std::size_t>(reinterpret_cast<const char*>(points + capacity.edges) - begin());
  }
};

Output take_output(Workspace& workspace, LesionCapacity capacity) {
  Output output;
  output.header = workspace.take<Header>(1);
  output.regions = workspace.take<DeviceRegion>(capacity.lesions);
  output.offsets = workspace.take<std::int32_t>(capacity.lesions + 1);
  output.points = workspace.take<Point>(capacity.edges);
  return output;
}

struct Memory {
  DeviceBits bits, high, kept;
  DeviceComponents components;
  DeviceFill fill;
  DeviceNumbers numbers;
  DeviceRegionTable table;
  DeviceCracks cracks;
  Output output;
};

Memory take(Workspace& workspace, std::int64_t height, std::int64_t width, LesionCapacity capacity) {
  Memory memory;
  memory.bits = take_bits(workspace, height, width);
  memory.high = take_bits(workspace, height, width);
  memory.kept = take_bits(workspace, height, width);
  memory.components = take_components(workspace, memory.bits);
  memory.components.areas = take_areas(workspace, memory.bits);
  memory.fill = take_fill(workspace, memory.bits);
  memory.numbers = take_numbers(workspace, memory.bits);
  memory.output = take_output(workspace, capacity);
  memory.table = take_regions(workspace, std::min(capacity.lesions, kPortion), true, memory.output.regions);
  memory.cracks = take_cracks(workspace, memory.kept, capacity.edges);
  return memory;
}

/// Lesions first + 1 .. first + capacity as regions.
struct NumberedRuns {
  DeviceComponents components;
  const std::int32_t* numbers;
  std::int32_t first;

  LCX_HOST_DEVICE std::int64_t row_words() const { return components.bits.row_words; }
  LCX_HOST_DEVICE std::int64_t word_count() const { return components.bits.word_count(); }
  __device__ bool may_hold(std::int64_t word) const { return components.bits.words[word] != 0; }
  __device__ std::int32_t region(std::int64_t word, std::int32_t y, std::int32_t x) const {
    const std::uint32_t bits = components.bits.words[word];
    if (!(bits >> (x & 31) & 1U)) return -1;
    const std::int32_t number = numbers[components.parents[node_at(components, y, x >> 5, bits, x & 31)]];
    return number > first ? number - 1 - first : -1;
  }
};

__global__ void write_points(DeviceCracks cracks, TensorView<const float, 2> map, float level,
                             const std::int32_t* count, Output output) {
  const std::int64_t k = thread_number();
  if (k == 0) *output.header = {*count, *cracks.total, *cracks.point_total};
  if (k >= *cracks.total || *cracks.total > cracks.capacity) return;
  const std::int32_t place = point_place(cracks, static_cast<std::int32_t>(k));
  if (place < 0) return;
  const auto word = static_cast<std::int32_t>(cracks.pixels[k] >> 5);
  const std::int32_t y = word / cracks.bits.row_words;
  const std::int32_t x = word % cracks.bits.row_words * 32 + static_cast<std::int32_t>(cracks.pixels[k] & 31U);
  const int left = (cracks.headings[k] + 3) & 3;  // where the background is
  const std::int32_t outer_y = y + heading_y(left);
  const std::int32_t outer_x = x + heading_x(left);
  double part = 0.5;
  if (outer_y >= 0 && outer_y < map.shape[0] && outer_x >= 0 && outer_x < map.shape[1]) {
    part = crossing_part(map.data[y * map.strides[0] + x * map.strides[1]],
                         map.data[outer_y * map.strides[0] + outer_x * map.strides[1]], level);
  }
  output.points[place] = {y + 0.5 + part * heading_y(left), x + 0.5 + part * heading_x(left)};
}

}  // namespace

std::size_t find_lesions_workspace_bytes(std::int64_t height, std::int64_t width, LesionCapacity capacity) {
  Workspace counter;
  take(counter, height, width, capacity);
  return counter.peak();
}

std::size_t lesion_result_bytes(LesionCapacity capacity) {
  Workspace counter;
  take_output(counter, capacity);
  return counter.peak();
}

DeviceLesions enqueue_find_lesions(TensorView<const float, 2> map, const LesionOptions& options,
                                   LesionCapacity capacity, Workspace& workspace, Stream stream, const Branch* beside) {
  const Memory memory = take(workspace, map.shape[0], map.shape[1], capacity);
  DeviceComponents components = memory.components;
  const bool filter = options.min_area > 1;
  if (!filter) components.areas = nullptr;
  const bool hysteresis = options.high > options.low;
  enqueue_threshold_bits(map, options.low, options.high, memory.bits, hysteresis ? memory.high : DeviceBits{}, stream);
  if (hysteresis) {
    DeviceComponents weak{components.bits, components.carries, components.parents, memory.fill.components.flags};
    enqueue_components(weak, Connectivity::kEight, stream);
    enqueue_flag_seeded(weak, memory.high, stream);
    enqueue_select_flagged(weak, memory.bits, stream);
  }
  if (options.fill_holes) enqueue_fill(memory.bits, memory.fill, stream);
  enqueue_components(components, Connectivity::kEight, stream);
  if (filter) enqueue_areas(components, stream);
  enqueue_numbers(components, options.min_area, memory.numbers, stream);
  enqueue_select_numbered(components, memory.numbers.numbers, memory.kept, stream);
  // Measuring and outlines read the same components and write nothing in common.
  const Stream measuring = beside != nullptr ? beside->begin(stream) : stream;
  for (std::int32_t first = 0; first < capacity.lesions; first += kPortion) {
    DeviceRegionTable table = memory.table;
    table.capacity = std::min(kPortion, capacity.lesions - first);
    table.regions = memory.output.regions + first;
    enqueue_measure(NumberedRuns{components, memory.numbers.numbers, first}, map, table, measuring);
  }
  enqueue_cracks(memory.cracks, CrackHead::kFirstPixel, CrackPoint::kEach, components, memory.numbers.numbers, stream);
  enqueue_loops(memory.cracks, CrackHead::kFirstPixel, capacity.lesions, memory.output.offsets, nullptr, stream);
  LCX_LAUNCH(write_points, blocks_for(capacity.edges), kThreadsPerBlock, 0, to_cuda(stream), memory.cracks, map,
             options.low, memory.numbers.count, memory.output);
  LCX_CUDA_CHECK(cudaGetLastError());
  if (beside != nullptr) beside->end(stream);
  return {memory.output.header, memory.output.bytes(capacity), capacity};
}

std::optional<Lesions> lesions_on_host(const DeviceLesions& lesions, const void* host, LesionCapacity& needed) {
  // The same arithmetic as on the device gives each array's distance from the first.
  Workspace layout(const_cast<void*>(host), lesions.bytes + 4096);
  const Output output = take_output(layout, lesions.capacity);
  const Header& header = *output.header;
  needed = {header.lesions, header.edges};
  if (header.lesions > lesions.capacity.lesions || header.edges > lesions.capacity.edges) return std::nullopt;
  Lesions result;
  for (std::int32_t k = 0; k < header.lesions; ++k) {
    result.geometry.push_back(geometry_of(output.regions[k]));
    result.values.push_back(output.regions[k].values);
    result.outlines.offsets.push_back(output.offsets[k + 1]);
  }
  for (std::int32_t k = 0; k < header.points; ++k) {
    result.outlines.points.push_back({output.points[k].y, output.points[k].x});
  }
  return result;
}

Lesions find_lesions(TensorView<const float, 2> map, const LesionOptions& options, Stream stream) {
  const DeviceGuard guard(map.device);
  LesionCapacity capacity;
  const auto attempt = [&]() -> std::optional<Lesions> {
    const Scratch scratch(find_lesions_workspace_bytes(map.shape[0], map.shape[1], capacity), map.device, stream);
    Workspace workspace = scratch.workspace();
    const DeviceLesions found = enqueue_find_lesions(map, options, capacity, workspace, stream);
    std::vector<double> host((found.bytes + sizeof(double) - 1) / sizeof(double));  // aligned for all that is in it
    download(host.data(), found.data, found.bytes, stream);
    return lesions_on_host(found, host.data(), capacity);
  };
  if (auto lesions = attempt()) return std::move(*lesions);
  capacity.lesions = std::max(capacity.lesions, 1);
  capacity.edges = std::max(capacity.edges, 1);
  return attempt().value();
}

}  // namespace lcx::cuda
