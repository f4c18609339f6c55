// The one "this build has no CUDA" file: every CUDA twin, as an error. A build with CUDA leaves it out.

#include "core/device_memory.hpp"
#include "core/error.hpp"
#include "core/pixel_types.hpp"
#include "ops/blend_tiles/blend_tiles.hpp"
#include "ops/blend_tiles/device_blender.hpp"
#include "ops/box_iou/box_iou.hpp"
#include "ops/breast_mask/breast_mask.hpp"
#include "ops/extract_tiles/extract_tiles.hpp"
#include "ops/fill_holes/fill_holes.hpp"
#include "ops/find_lesions/find_lesions.hpp"
#include "ops/hysteresis/hysteresis.hpp"
#include "ops/label_components/label_components.hpp"
#include "ops/mask_iou/mask_iou.hpp"
#include "ops/match_detections/match_detections.hpp"
#include "ops/percentiles/percentiles.hpp"
#include "ops/pixel_histogram/pixel_histogram.hpp"
#include "ops/region_props/region_props.hpp"
#include "ops/remove_small/remove_small.hpp"
#include "ops/resample/resample.hpp"
#include "ops/trace_contours/trace_contours.hpp"

namespace lcx {
namespace {

[[noreturn]] void refuse_memory() { throw Error(ErrorCode::kUnsupported, "this build has no CUDA"); }

}  // namespace

std::shared_ptr<void> allocate_device(std::size_t, Device, Stream) { refuse_memory(); }
void clear_device(void*, std::size_t, Device, Stream) { refuse_memory(); }
void copy_to_host(void*, const void*, std::size_t, Device, Stream) { refuse_memory(); }
void copy_to_device(void*, const void*, std::size_t, Device, Stream) { refuse_memory(); }
void order_after(Stream, Stream, Device) { refuse_memory(); }
int device_index_of(const void*) { refuse_memory(); }
int cuda_device_count() noexcept { return 0; }

}  // namespace lcx

namespace lcx::cuda {
namespace {

[[noreturn]] void refuse(const char* operation) {
  throw Error(ErrorCode::kUnsupported,
              std::string(operation) + ": this build has no CUDA; pass an array in the CPU's memory");
}

}  // namespace

template <typename T>
void extract_tiles(TensorView<const T, 2>, const TileGrid&, const std::optional<Normalisation>&,
                   TensorView<const std::uint8_t, 2>, TensorView<float, 4>, Stream) {
  refuse("extract_tiles");
}
#define LCX_INSTANTIATE(T)                                                                                     \
  template void extract_tiles<T>(TensorView<const T, 2>, const TileGrid&, const std::optional<Normalisation>&, \
                                 TensorView<const std::uint8_t, 2>, TensorView<float, 4>, Stream);
LCX_FOR_EACH_PIXEL_TYPE(LCX_INSTANTIATE)
#undef LCX_INSTANTIATE

void blend_tiles(TensorView<const float, 4>, const TileGrid&, TileWeights, TensorView<const std::uint8_t, 2>,
                 TensorView<float, 3>, Stream) {
  refuse("blend_tiles");
}

struct TileBlender::State {};
TileBlender::TileBlender(const TileGrid&, TileWeights, TensorView<float, 3>, Stream) { refuse("TileBlender"); }
TileBlender::~TileBlender() = default;
void TileBlender::add(std::int64_t, TensorView<const float, 3>) const {}
void TileBlender::clear_outside(TensorView<const std::uint8_t, 2>) const {}

void breast_mask(TensorView<const float, 2>, TensorView<std::uint8_t, 2>, Stream) { refuse("breast_mask"); }
std::vector<double> percentiles(TensorView<const float, 2>, TensorView<const std::uint8_t, 2>, std::span<const double>,
                                Stream) {
  refuse("percentiles");
}

template <typename T>
void resample(TensorView<const T, 2>, std::span<const std::array<double, 2>>, std::span<const TensorView<float, 2>>,
              Stream) {
  refuse("resample");
}
#define LCX_INSTANTIATE(T)                                                                  \
  template void resample<T>(TensorView<const T, 2>, std::span<const std::array<double, 2>>, \
                            std::span<const TensorView<float, 2>>, Stream);
LCX_FOR_EACH_PIXEL_TYPE(LCX_INSTANTIATE)
#undef LCX_INSTANTIATE

std::int32_t label_components(TensorView<const std::uint8_t, 2>, Connectivity, TensorView<std::int32_t, 2>, Stream) {
  refuse("label_components");
}

void fill_holes(TensorView<const std::uint8_t, 2>, TensorView<std::uint8_t, 2>, Stream) { refuse("fill_holes"); }
void remove_small(TensorView<const std::uint8_t, 2>, std::int64_t, Connectivity, TensorView<std::uint8_t, 2>, Stream) {
  refuse("remove_small");
}
void hysteresis(TensorView<const float, 2>, float, float, Connectivity, TensorView<std::uint8_t, 2>, Stream) {
  refuse("hysteresis");
}

void pixel_histogram(TensorView<const std::uint16_t, 1>, TensorView<const std::uint8_t, 1>, TensorView<std::int64_t, 2>,
                     Stream) {
  refuse("pixel_histogram");
}

RegionProps region_props(TensorView<const std::int32_t, 2>, TensorView<const float, 2>, std::int32_t, Stream) {
  refuse("region_props");
}

Contours trace_contours(TensorView<const std::uint8_t, 2>, Stream) { refuse("trace_contours"); }

Lesions find_lesions(TensorView<const float, 2>, const LesionOptions&, Stream) { refuse("find_lesions"); }

template <typename T>
void box_iou(TensorView<const T, 2>, TensorView<const T, 2>, BoxFormat, TensorView<const std::uint8_t, 1>,
             TensorView<T, 2>, Stream) {
  refuse("box_iou");
}
template void box_iou<float>(TensorView<const float, 2>, TensorView<const float, 2>, BoxFormat,
                             TensorView<const std::uint8_t, 1>, TensorView<float, 2>, Stream);
template void box_iou<double>(TensorView<const double, 2>, TensorView<const double, 2>, BoxFormat,
                              TensorView<const std::uint8_t, 1>, TensorView<double, 2>, Stream);

void mask_iou(TensorView<const std::uint8_t, 2>, TensorView<const std::uint8_t, 2>, TensorView<const std::uint8_t, 1>,
              TensorView<double, 2>, Stream) {
  refuse("mask_iou");
}

template <typename T>
void match_detections(TensorView<const T, 2>, std::span<const double>, TensorView<const std::uint8_t, 1>,
                      TensorView<const std::uint8_t, 1>, const MatchTables&, Stream) {
  refuse("match_detections");
}
template void match_detections<float>(TensorView<const float, 2>, std::span<const double>,
                                      TensorView<const std::uint8_t, 1>, TensorView<const std::uint8_t, 1>,
                                      const MatchTables&, Stream);
template void match_detections<double>(TensorView<const double, 2>, std::span<const double>,
                                       TensorView<const std::uint8_t, 1>, TensorView<const std::uint8_t, 1>,
                                       const MatchTables&, Stream);

}  // namespace lcx::cuda
