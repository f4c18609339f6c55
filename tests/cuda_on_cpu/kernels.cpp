// Every CUDA twin against its CPU twin, in a program of its own: built with AddressSanitizer by
// tests/test_cuda_asan.py, so that each byte outside an array, and between the pieces of an arena, is guarded. `kernels
// [SEED]` prints what differs. The last part captures the lesions' line into a graph and replays it with other pixels.

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "core/cuda_support.cuh"
#include "cuda_on_cpu/guard.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"
#include "ops/box_iou/box_iou.hpp"
#include "ops/extract_tiles/extract_tiles.hpp"
#include "ops/fill_holes/fill_holes.hpp"
#include "ops/find_lesions/find_lesions_cuda.hpp"
#include "ops/hysteresis/hysteresis.hpp"
#include "ops/label_components/label_components.hpp"
#include "ops/mask_iou/mask_iou.hpp"
#include "ops/match_detections/match_detections.hpp"
#include "ops/region_props/region_props.hpp"
#include "ops/remove_small/remove_small.hpp"
#include "ops/trace_contours/trace_contours.hpp"

namespace {

using namespace lcx;

int failures = 0;
std::mt19937 random_bits(1);

void check(bool good, const char* what, std::int64_t height, std::int64_t width) {
  if (good) return;
  ++failures;
  std::printf("%s differs at %lld x %lld\n", what, static_cast<long long>(height), static_cast<long long>(width));
}

constexpr Device kGpu{DeviceType::kCuda, 0};

/// An array on the device, as large as it says and not a byte more.
template <typename T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values) : count_(values.size()) {
    LCX_CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&data_), count_ * sizeof(T)));
    LCX_CUDA_CHECK(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~OnDevice() { cudaFree(data_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  T* data() const { return data_; }
  std::vector<T> values() const {
    std::vector<T> values(count_);
    LCX_CUDA_CHECK(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

template <typename T>
std::vector<T> random_values(std::int64_t count, double density) {
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) {
    const double drawn = uniform(random_bits);
    value = std::is_floating_point_v<T> ? static_cast<T>(drawn) : static_cast<T>(drawn < density);
  }
  return values;
}

bool close(const std::vector<float>& a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= 1e-6F * (1.0F + std::abs(b[i])))) return false;
  }
  return a.size() == b.size();
}

bool same(const Lesions& a, const Lesions& b) {
  if (a.geometry.size() != b.geometry.size() || a.outlines.offsets != b.outlines.offsets) return false;
  for (std::size_t i = 0; i < a.geometry.size(); ++i) {
    if (a.geometry[i].area != b.geometry[i].area || a.geometry[i].sum_x != b.geometry[i].sum_x) return false;
    if (std::abs(a.values[i].top_mean - b.values[i].top_mean) > 1e-6F) return false;
  }
  return a.outlines.points == b.outlines.points;
}

void test_regions(std::int64_t height, std::int64_t width, double density) {
  const std::array<std::int64_t, 2> shape{height, width};
  const std::vector<std::uint8_t> mask = random_values<std::uint8_t>(height * width, density);
  const OnDevice<std::uint8_t> device_mask(mask);
  const TensorView<const std::uint8_t, 2> host_view(mask.data(), shape);
  const TensorView<const std::uint8_t, 2> device_view(device_mask.data(), shape, kGpu);

  std::vector<std::int32_t> labels(mask.size(), 0);
  const OnDevice<std::int32_t> device_labels(labels);
  const auto count = label_components(host_view, Connectivity::kEight, {labels.data(), shape});
  check(label_components(device_view, Connectivity::kEight, {device_labels.data(), shape, kGpu}) == count &&
            device_labels.values() == labels,
        "label_components", height, width);

  std::vector<std::uint8_t> filled(mask.size(), 0);
  const OnDevice<std::uint8_t> device_filled(filled);
  fill_holes(host_view, {filled.data(), shape});
  fill_holes(device_view, {device_filled.data(), shape, kGpu});
  check(device_filled.values() == filled, "fill_holes", height, width);

  std::vector<std::uint8_t> kept(mask.size(), 0);
  const OnDevice<std::uint8_t> device_kept(kept);
  remove_small(host_view, 3, Connectivity::kFour, {kept.data(), shape});
  remove_small(device_view, 3, Connectivity::kFour, {device_kept.data(), shape, kGpu});
  check(device_kept.values() == kept, "remove_small", height, width);

  const Contours contours = trace_contours(device_view);
  const Contours expected = trace_contours(host_view);
  check(contours.polygons.points == expected.polygons.points && contours.is_hole == expected.is_hole, "trace_contours",
        height, width);

  const std::vector<float> values = random_values<float>(height * width, 0);
  const OnDevice<float> device_values(values);
  const auto props = region_props({device_labels.data(), shape, kGpu}, {device_values.data(), shape, kGpu}, count);
  const auto host_props = region_props({labels.data(), shape}, {values.data(), shape}, count);
  bool good = props.geometry.size() == host_props.geometry.size();
  for (std::size_t i = 0; good && i < props.geometry.size(); ++i) {
    good = props.geometry[i].area == host_props.geometry[i].area &&
           std::abs(props.values[i].top_mean - host_props.values[i].top_mean) < 1e-6F;
  }
  check(good, "region_props", height, width);

  std::vector<std::uint8_t> seeded(mask.size(), 0);
  const OnDevice<std::uint8_t> device_seeded(seeded);
  hysteresis({values.data(), shape}, 0.5F, 0.9F, Connectivity::kEight, {seeded.data(), shape});
  hysteresis({device_values.data(), shape, kGpu}, 0.5F, 0.9F, Connectivity::kEight,
             {device_seeded.data(), shape, kGpu});
  check(device_seeded.values() == seeded, "hysteresis", height, width);

  for (const LesionOptions& options : {LesionOptions{0.5F, 0.5F, 1, true}, LesionOptions{0.6F, 0.9F, 3, false}}) {
    check(
        same(find_lesions({device_values.data(), shape, kGpu}, options), find_lesions({values.data(), shape}, options)),
        "find_lesions", height, width);
  }
}

void test_tiles(std::int64_t height, std::int64_t width, double scale) {
  const std::array<std::int64_t, 2> shape{height, width};
  std::vector<std::uint16_t> image(static_cast<std::size_t>(height * width));
  for (auto& pixel : image) pixel = static_cast<std::uint16_t>(random_bits());
  const std::vector<std::uint8_t> mask = random_values<std::uint8_t>(7 * 5, 0.7);
  const OnDevice<std::uint16_t> device_image(image);
  const OnDevice<std::uint8_t> device_mask(mask);
  const TileGrid grid = plan_tiles(shape, {scale, scale}, {13, 37}, 0.25, {mask.data(), {7, 5}});
  const std::array<std::int64_t, 4> tile_shape{grid.tile_count(), 1, 13, 37};
  std::vector<float> tiles(static_cast<std::size_t>(grid.tile_count() * 13 * 37));
  const OnDevice<float> device_tiles(tiles);
  const Normalisation window{100.0F, 60000.0F, 0.2F, 0.4F};
  extract_tiles<std::uint16_t>({image.data(), shape}, grid, window, {mask.data(), {7, 5}}, {tiles.data(), tile_shape});
  extract_tiles<std::uint16_t>({device_image.data(), shape, kGpu}, grid, window, {device_mask.data(), {7, 5}, kGpu},
                               {device_tiles.data(), tile_shape, kGpu});
  check(close(device_tiles.values(), tiles), "extract_tiles", height, width);

  const std::array<std::int64_t, 3> map_shape{1, grid.shape[0], grid.shape[1]};
  std::vector<float> map(static_cast<std::size_t>(grid.shape[0] * grid.shape[1]));
  const OnDevice<float> device_map(map);
  blend_tiles({tiles.data(), tile_shape}, grid, TileWeights::kGaussian, {mask.data(), {7, 5}}, {map.data(), map_shape});
  blend_tiles({device_tiles.data(), tile_shape, kGpu}, grid, TileWeights::kGaussian, {device_mask.data(), {7, 5}, kGpu},
              {device_map.data(), map_shape, kGpu});
  check(close(device_map.values(), map), "blend_tiles", height, width);
}

void test_overlaps(std::int64_t detections, std::int64_t references) {
  const std::vector<float> a = random_values<float>(detections * 4, 0);
  const std::vector<float> b = random_values<float>(references * 4, 0);
  const OnDevice<float> device_a(a);
  const OnDevice<float> device_b(b);
  const std::array<std::int64_t, 2> pairs{detections, references};
  std::vector<float> iou(static_cast<std::size_t>(detections * references));
  const OnDevice<float> device_iou(iou);
  box_iou<float>({a.data(), {detections, 4}}, {b.data(), {references, 4}}, BoxFormat::kXywh, {}, {iou.data(), pairs});
  box_iou<float>({device_a.data(), {detections, 4}, kGpu}, {device_b.data(), {references, 4}, kGpu}, BoxFormat::kXywh,
                 {}, {device_iou.data(), pairs, kGpu});
  check(device_iou.values() == iou, "box_iou", detections, references);

  const std::vector<double> thresholds{0.1, 0.5};
  std::vector<std::int32_t> to_reference(static_cast<std::size_t>(2 * detections));
  std::vector<std::int32_t> to_detection(static_cast<std::size_t>(2 * references));
  std::vector<std::uint8_t> ignored(to_reference.size());
  const OnDevice<std::int32_t> device_to_reference(to_reference);
  const OnDevice<std::int32_t> device_to_detection(to_detection);
  const OnDevice<std::uint8_t> device_ignored(ignored);
  match_detections<float>({iou.data(), pairs}, thresholds, {}, {},
                          {{to_reference.data(), {2, detections}},
                           {to_detection.data(), {2, references}},
                           {ignored.data(), {2, detections}}});
  match_detections<float>({device_iou.data(), pairs, kGpu}, thresholds, {}, {},
                          {{device_to_reference.data(), {2, detections}, kGpu},
                           {device_to_detection.data(), {2, references}, kGpu},
                           {device_ignored.data(), {2, detections}, kGpu}});
  check(device_to_reference.values() == to_reference && device_to_detection.values() == to_detection,
        "match_detections", detections, references);

  const std::vector<std::uint8_t> masks = random_values<std::uint8_t>(detections * 77, 0.5);
  const OnDevice<std::uint8_t> device_masks(masks);
  std::vector<double> overlaps(static_cast<std::size_t>(detections * detections));
  const OnDevice<double> device_overlaps(overlaps);
  const TensorView<const std::uint8_t, 2> view(masks.data(), {detections, 77});
  const TensorView<const std::uint8_t, 2> device_view(device_masks.data(), {detections, 77}, kGpu);
  mask_iou(view, view, {}, {overlaps.data(), {detections, detections}});
  mask_iou(device_view, device_view, {}, {device_overlaps.data(), {detections, detections}, kGpu});
  check(device_overlaps.values() == overlaps, "mask_iou", detections, references);
}

// Pixels up, lesions, results down: captured once, replayed for other pixels.
void test_graph() {
  const std::array<std::int64_t, 2> shape{40, 70};
  const std::size_t bytes = 40 * 70 * sizeof(float);
  float* pixels = nullptr;
  LCX_CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&pixels), bytes));
  const OnDevice<float> map(std::vector<float>(40 * 70));
  const cuda::LesionCapacity capacity{2000, 1 << 13};
  const std::size_t need = cuda::find_lesions_workspace_bytes(40, 70, capacity);
  const OnDevice<char> arena{std::vector<char>(need)};
  Workspace workspace(arena.data(), need);
  cudaStream_t stream = nullptr;
  LCX_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  LCX_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  LCX_CUDA_CHECK(cudaMemcpyAsync(map.data(), pixels, bytes, cudaMemcpyHostToDevice, stream));
  const cuda::DeviceLesions found =
      cuda::enqueue_find_lesions({map.data(), shape, kGpu}, {}, capacity, workspace, Stream{stream});
  double* results = nullptr;
  LCX_CUDA_CHECK(cudaMallocHost(reinterpret_cast<void**>(&results), found.bytes));
  LCX_CUDA_CHECK(cudaMemcpyAsync(results, found.data, found.bytes, cudaMemcpyDeviceToHost, stream));
  cudaGraph_t graph = nullptr;
  LCX_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t executable = nullptr;
  LCX_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
  for (int film = 0; film < 3; ++film) {
    const std::vector<float> values = random_values<float>(40 * 70, 0);
    std::copy(values.begin(), values.end(), pixels);
    LCX_CUDA_CHECK(cudaGraphLaunch(executable, stream));
    LCX_CUDA_CHECK(cudaStreamSynchronize(stream));
    cuda::LesionCapacity needed;
    const auto lesions = cuda::lesions_on_host(found, results, needed);
    check(lesions && same(*lesions, find_lesions({values.data(), shape}, {})), "the captured line", 40, 70);
  }
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaFreeHost(pixels);
  cudaFreeHost(results);
}

// What the guards are for: one pixel too far, in a piece of an arena.
__global__ void write_at(std::uint8_t* data, int index) {
  if (threadIdx.x == 0) data[index] = 1;
}

void plant_overrun() {
  const OnDevice<char> arena{std::vector<char>(4096)};
  Workspace workspace(arena.data(), 4096);
  auto* piece = workspace.take<std::uint8_t>(100);
  workspace.take<std::uint8_t>(100);
  LCX_LAUNCH(write_at, 1, 32, 0, nullptr, piece, 100);
  cudaDeviceSynchronize();
}

}  // namespace

int main(int count, char** arguments) {
  const std::string mode = count > 1 ? arguments[1] : "0";
  if (mode == "overrun") {
    plant_overrun();
    return 0;
  }
  random_bits.seed(static_cast<unsigned>(std::stoul(mode)));
  if (mode != "0") cuda_on_cpu::set_schedule({cuda_on_cpu::ScheduleKind::kRandom, std::stoull(mode)});
  for (const auto& [height, width] : {std::pair{1, 1}, {3, 31}, {9, 32}, {40, 33}, {31, 130}}) {
    for (const double density : {0.1, 0.5, 0.9}) test_regions(height, width, density);
    for (const double scale : {1.0, 1.7}) test_tiles(height, width, scale);
  }
  test_overlaps(5, 33);
  test_overlaps(33, 2);
  test_graph();
  std::printf("%d differ\n", failures);
  return failures == 0 ? 0 : 1;
}
