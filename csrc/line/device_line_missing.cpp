// Stands in for device_line.cu in a build without CUDA.

#include "core/error.hpp"
#include "core/pixel_types.hpp"
#include "line/device_line.hpp"

namespace lcx {
namespace {

[[noreturn]] void refuse() { throw Error(ErrorCode::kUnsupported, "this build has no CUDA; build with LCX_CUDA=ON"); }

}  // namespace

struct DeviceLine::State {};

DeviceLine::DeviceLine(DeviceNetwork&, Device, TileWeights, int) { refuse(); }
DeviceLine::~DeviceLine() = default;
std::int64_t DeviceLine::graphs_recorded() const { refuse(); }
bool DeviceLine::counts_tiles() const { refuse(); }
std::size_t DeviceLine::device_bytes() const { refuse(); }
std::size_t DeviceLine::pinned_bytes() const { refuse(); }

template <typename T>
FilmResult DeviceLine::run(TensorView<const T, 2>, const FilmSettings&, TensorView<std::uint8_t, 2>,
                           TensorView<float, 3>) {
  refuse();
}

#define LCX_INSTANTIATE(T)                                                                                      \
  template FilmResult DeviceLine::run(TensorView<const T, 2>, const FilmSettings&, TensorView<std::uint8_t, 2>, \
                                      TensorView<float, 3>);
LCX_FOR_EACH_PIXEL_TYPE(LCX_INSTANTIATE)

}  // namespace lcx
