// Operations put on a stream: in steady state nothing allocates and nothing waits. Each is recorded into a graph, which
// can hold neither, replayed for other inputs, put on the stream directly too, and compared with the CPU; between the
// first call and the results' way back the emulation must have counted no allocation and no wait. `steady [SEED]`
// prints what is wrong.

#include <cstdio>
#include <functional>
#include <random>
#include <vector>

#include "core/cuda_support.cuh"
#include "cuda_on_cpu/memory.hpp"
#include "engine/cuda_graph.hpp"
#include "ops/box_iou/box_iou_cuda.hpp"
#include "ops/breast_mask/breast_mask_cuda.cuh"
#include "ops/hysteresis/hysteresis_cuda.hpp"
#include "ops/mask_iou/mask_iou_cuda.hpp"
#include "ops/match_detections/match_detections_cuda.hpp"
#include "ops/percentiles/percentiles.hpp"
#include "ops/percentiles/percentiles_cuda.cuh"
#include "ops/pixel_histogram/pixel_histogram_cuda.hpp"
#include "ops/region_props/region_props_cuda.hpp"
#include "ops/remove_small/remove_small_cuda.hpp"
#include "ops/resample/resample.hpp"
#include "ops/resample/resample_cuda.cuh"
#include "ops/trace_contours/trace_contours_cuda.hpp"

namespace {

using namespace lcx;

constexpr Device kGpu{DeviceType::kCuda, 0};
int failures = 0;
std::mt19937 random_bits(1);

void check(bool good, const char* what, const char* how) {
  if (good) return;
  ++failures;
  std::printf("%s %s\n", what, how);
}

/// An array on both sides.
template <typename T>
class Both {
 public:
  explicit Both(std::int64_t count) : host(static_cast<std::size_t>(count)) {
    LCX_CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&data_), host.size() * sizeof(T) + 1));
    send();
  }
  ~Both() { cudaFree(data_); }
  Both(const Both&) = delete;
  Both& operator=(const Both&) = delete;

  T* data() const { return data_; }
  void send() const { LCX_CUDA_CHECK(cudaMemcpy(data_, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice)); }
  std::vector<T> received() const {
    std::vector<T> values(host.size());
    LCX_CUDA_CHECK(cudaMemcpy(values.data(), data_, values.size() * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }
  /// Values of [0, most], whole or not.
  void draw(double most, bool is_whole) {
    std::uniform_real_distribution<double> uniform(0, is_whole ? most + 1 : most);
    for (T& value : host) value = static_cast<T>(is_whole ? std::floor(uniform(random_bits)) : uniform(random_bits));
    send();
  }

  std::vector<T> host;

 private:
  T* data_ = nullptr;
};

/// A stream with memory to borrow.
struct Place {
  cudaStream_t handle = nullptr;
  Both<char> memory;

  explicit Place(std::size_t bytes) : memory(static_cast<std::int64_t>(bytes) + 1) {
    LCX_CUDA_CHECK(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking));
  }
  ~Place() { cudaStreamDestroy(handle); }
  Stream stream() const { return Stream{handle}; }
  Workspace workspace() const { return Workspace(memory.data(), memory.host.size()); }
};

/// Runs `enqueue` for three inputs that `draw` makes, recorded and directly; `is_right` compares what it left.
void steady(const char* name, const Place& place, const std::function<void()>& draw,
            const std::function<void()>& enqueue, const std::function<bool()>& is_right) {
  draw();
  const lcx::CudaGraph graph(kGpu, place.stream(), enqueue);
  for (int film = 0; film < 3; ++film) {
    for (const bool recorded : {true, false}) {
      draw();
      const auto before = cuda_on_cpu::counters();
      const auto memory_before = cuda_on_cpu::memory_use();
      if (recorded) {
        graph.launch(place.stream());
      } else {
        enqueue();
      }
      check(cuda_on_cpu::counters().waits == before.waits, name, "waits");
      check(cuda_on_cpu::memory_use().allocations == memory_before.allocations, name, "allocates");
      LCX_CUDA_CHECK(cudaStreamSynchronize(place.handle));
      check(is_right(), name, recorded ? "differs when replayed" : "differs");
    }
  }
}

constexpr std::int64_t kHeight = 37;
constexpr std::int64_t kWidth = 53;
constexpr std::array<std::int64_t, 2> kShape{kHeight, kWidth};

/// A copy of device memory, aligned for whatever is in it.
std::vector<double> copy_down(const void* data, std::size_t bytes) {
  std::vector<double> host(bytes / sizeof(double) + 1);
  LCX_CUDA_CHECK(cudaMemcpy(host.data(), data, bytes, cudaMemcpyDeviceToHost));
  return host;
}

void test_region_props() {
  constexpr std::int32_t kCount = 9;
  Both<std::int32_t> labels(kHeight * kWidth);
  Both<float> values(kHeight * kWidth);
  const Place place(cuda::region_props_workspace_bytes(kCount, true));
  cuda::DeviceProps found;
  steady(
      "region_props", place,
      [&] {
        labels.draw(kCount, true);
        values.draw(3, false);
      },
      [&] {
        Workspace workspace = place.workspace();
        found = cuda::enqueue_region_props({labels.data(), kShape, kGpu}, {values.data(), kShape, kGpu}, kCount,
                                           workspace, place.stream());
      },
      [&] {
        const auto host = copy_down(found.data, found.bytes);
        const RegionProps got = cuda::props_on_host(found, host.data());
        const RegionProps wanted = region_props({labels.host.data(), kShape}, {values.host.data(), kShape}, kCount);
        bool good = got.geometry.size() == wanted.geometry.size() && got.values.size() == wanted.values.size();
        for (std::size_t k = 0; good && k < got.geometry.size(); ++k) {
          good = got.geometry[k].area == wanted.geometry[k].area && got.geometry[k].sum_x == wanted.geometry[k].sum_x &&
                 got.values[k].max == wanted.values[k].max &&
                 std::abs(got.values[k].top_mean - wanted.values[k].top_mean) <= 1e-6F;
        }
        return good;
      });
}

void test_trace_contours() {
  Both<std::uint8_t> mask(kHeight * kWidth);
  constexpr std::int32_t kEdges = 4 * kHeight * kWidth;
  const Place place(cuda::trace_contours_workspace_bytes(kHeight, kWidth, kEdges));
  cuda::DeviceContours found;
  steady(
      "trace_contours", place, [&] { mask.draw(1, true); },
      [&] {
        Workspace workspace = place.workspace();
        found = cuda::enqueue_trace_contours({mask.data(), kShape, kGpu}, kEdges, workspace, place.stream());
      },
      [&] {
        const auto host = copy_down(found.data, found.bytes);
        std::int32_t needed = 0;
        const auto got = cuda::contours_on_host(found, host.data(), needed);
        const Contours wanted = trace_contours({mask.host.data(), kShape});
        return got && got->polygons.points == wanted.polygons.points && got->is_hole == wanted.is_hole &&
               got->polygons.offsets == wanted.polygons.offsets;
      });
}

void test_remove_small() {
  Both<std::uint8_t> mask(kHeight * kWidth);
  Both<std::uint8_t> kept(kHeight * kWidth);
  const Place place(cuda::remove_small_workspace_bytes(kHeight, kWidth));
  steady(
      "remove_small", place, [&] { mask.draw(1, true); },
      [&] {
        Workspace workspace = place.workspace();
        cuda::enqueue_remove_small({mask.data(), kShape, kGpu}, 4, Connectivity::kFour, {kept.data(), kShape, kGpu},
                                   workspace, place.stream());
      },
      [&] {
        std::fill(kept.host.begin(), kept.host.end(), std::uint8_t{0});
        remove_small({mask.host.data(), kShape}, 4, Connectivity::kFour, {kept.host.data(), kShape});
        return kept.received() == kept.host;
      });
}

void test_hysteresis() {
  Both<float> values(kHeight * kWidth);
  Both<std::uint8_t> kept(kHeight * kWidth);
  const Place place(cuda::hysteresis_workspace_bytes(kHeight, kWidth));
  steady(
      "hysteresis", place, [&] { values.draw(1, false); },
      [&] {
        Workspace workspace = place.workspace();
        cuda::enqueue_hysteresis({values.data(), kShape, kGpu}, 0.55F, 0.95F, Connectivity::kFour,
                                 {kept.data(), kShape, kGpu}, workspace, place.stream());
      },
      [&] {
        std::fill(kept.host.begin(), kept.host.end(), std::uint8_t{0});
        hysteresis({values.host.data(), kShape}, 0.55F, 0.95F, Connectivity::kFour, {kept.host.data(), kShape});
        return kept.received() == kept.host;
      });
}

void test_box_iou() {
  Both<double> a(7 * 4);
  Both<double> b(33 * 4);
  Both<double> iou(7 * 33);
  const Place place(0);
  steady(
      "box_iou", place,
      [&] {
        a.draw(40, false);
        b.draw(40, false);
      },
      [&] {
        cuda::enqueue_box_iou<double>({a.data(), {7, 4}, kGpu}, {b.data(), {33, 4}, kGpu}, BoxFormat::kXywh, {},
                                      {iou.data(), {7, 33}, kGpu}, place.stream());
      },
      [&] {
        box_iou<double>({a.host.data(), {7, 4}}, {b.host.data(), {33, 4}}, BoxFormat::kXywh, {},
                        {iou.host.data(), {7, 33}});
        return iou.received() == iou.host;
      });
}

void test_mask_iou() {
  Both<std::uint8_t> a(3 * 777);
  Both<std::uint8_t> b(5 * 777);
  Both<double> iou(3 * 5);
  const Place place(cuda::mask_iou_workspace_bytes(3, 5, 777));
  steady(
      "mask_iou", place,
      [&] {
        a.draw(1, true);
        b.draw(2, true);
      },
      [&] {
        Workspace workspace = place.workspace();
        cuda::enqueue_mask_iou({a.data(), {3, 777}, kGpu}, {b.data(), {5, 777}, kGpu}, {}, {iou.data(), {3, 5}, kGpu},
                               workspace, place.stream());
      },
      [&] {
        mask_iou({a.host.data(), {3, 777}}, {b.host.data(), {5, 777}}, {}, {iou.host.data(), {3, 5}});
        return iou.received() == iou.host;
      });
}

void test_match_detections() {
  constexpr std::int64_t kDetections = 21;
  constexpr std::int64_t kReferences = 9;
  Both<float> iou(kDetections * kReferences);
  Both<double> thresholds(3);
  thresholds.host = {0.5, 0.25, 0.75};
  thresholds.send();
  Both<std::int32_t> to_reference(3 * kDetections);
  Both<std::int32_t> to_detection(3 * kReferences);
  Both<std::uint8_t> ignored(3 * kDetections);
  const Place place(0);
  steady(
      "match_detections", place, [&] { iou.draw(1, false); },
      [&] {
        cuda::enqueue_match_detections<float>({iou.data(), {kDetections, kReferences}, kGpu},
                                              {thresholds.data(), {3}, kGpu}, {}, {},
                                              {{to_reference.data(), {3, kDetections}, kGpu},
                                               {to_detection.data(), {3, kReferences}, kGpu},
                                               {ignored.data(), {3, kDetections}, kGpu}},
                                              place.stream());
      },
      [&] {
        match_detections<float>({iou.host.data(), {kDetections, kReferences}}, thresholds.host, {}, {},
                                {{to_reference.host.data(), {3, kDetections}},
                                 {to_detection.host.data(), {3, kReferences}},
                                 {ignored.host.data(), {3, kDetections}}});
        return to_reference.received() == to_reference.host && to_detection.received() == to_detection.host &&
               ignored.received() == ignored.host;
      });
}

void test_pixel_histogram() {
  for (const std::int64_t count : {1, 7, 8, 1003}) {
    Both<std::uint16_t> scores(count);
    Both<std::uint8_t> labels(count);
    Both<std::int64_t> counts(2 * kScoreBins);
    const Place place(0);
    steady(
        "pixel_histogram", place,
        [&] {
          scores.draw(300, true);
          labels.draw(1, true);
          std::fill(counts.host.begin(), counts.host.end(), 0);
          counts.send();
        },
        [&] {
          cuda::enqueue_pixel_histogram({scores.data(), {count}, kGpu}, {labels.data(), {count}, kGpu},
                                        {counts.data(), {2, kScoreBins}, kGpu}, place.stream());
        },
        [&] {
          cpu::pixel_histogram({scores.host.data(), {count}}, {labels.host.data(), {count}},
                               {counts.host.data(), {2, kScoreBins}}, 1);
          return counts.received() == counts.host;
        });
  }
}

void test_film_steps() {
  Both<std::uint16_t> image(8 * kHeight * kWidth);
  Both<float> coarse(kHeight * kWidth);
  Both<std::uint8_t> mask(kHeight * kWidth);
  Both<double> window(2);
  const std::array<std::int64_t, 2> image_shape{2 * kHeight, 4 * kWidth};
  const std::array<double, 2> scale{2.0, 4.0};
  const std::array<double, 2> ranks{1.0, 99.5};
  const std::size_t breast_bytes = cuda::breast_mask_workspace_bytes(kHeight, kWidth);
  const Place place(breast_bytes + cuda::percentiles_workspace_bytes());
  steady(
      "resample, breast_mask and percentiles", place, [&] { image.draw(4000, true); },
      [&] {
        Workspace workspace = place.workspace();
        cuda::enqueue_resample<std::uint16_t>({image.data(), image_shape, kGpu}, scale, {coarse.data(), kShape, kGpu},
                                              place.stream());
        cuda::enqueue_breast_mask({coarse.data(), kShape, kGpu}, {mask.data(), kShape, kGpu}, workspace,
                                  place.stream());
        cuda::enqueue_percentiles({coarse.data(), kShape, kGpu}, {mask.data(), kShape, kGpu}, cuda::EmptyMask::kNothing,
                                  ranks, window.data(), workspace, place.stream());
      },
      [&] {
        const std::array<TensorView<float, 2>, 1> to{TensorView<float, 2>(coarse.host.data(), kShape)};
        resample<std::uint16_t>({image.host.data(), image_shape}, std::array<std::array<double, 2>, 1>{scale}, to);
        breast_mask({coarse.host.data(), kShape}, {mask.host.data(), kShape});
        window.host = percentiles({coarse.host.data(), kShape}, {mask.host.data(), kShape}, ranks);
        return coarse.received() == coarse.host && mask.received() == mask.host && window.received() == window.host;
      });
}

}  // namespace

int main(int count, char** arguments) {
  const std::string seed = count > 1 ? arguments[1] : "0";
  if (seed != "0") cuda_on_cpu::set_schedule({cuda_on_cpu::ScheduleKind::kRandom, std::stoull(seed)});
  test_region_props();
  test_trace_contours();
  test_remove_small();
  test_hysteresis();
  test_box_iou();
  test_mask_iou();
  test_match_detections();
  test_pixel_histogram();
  test_film_steps();
  std::printf("%d wrong\n", failures);
  return failures == 0 ? 0 : 1;
}
