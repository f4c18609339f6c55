// Stands in for device_line.cu in a build without CUDA.

#include "core/error.hpp"
#include "line/device_line.hpp"

namespace lcx {
namespace {

[[noreturn]] void refuse() { throw Error(ErrorCode::kUnsupported, "this build has no CUDA; build with LCX_CUDA=ON"); }

}  // namespace

struct DeviceLine::State {};

DeviceLine::DeviceLine(DeviceNetwork&, Device, TileWeights, int) { refuse(); }
DeviceLine::~DeviceLine() = default;
std::int64_t DeviceLine::graphs_recorded() const { refuse(); }

template <typename T>
void DeviceLine::average(TensorView<const T, 2>, std::array<double, 2>, std::array<double, 2>, TensorView<float, 2>) {
  refuse();
}
template void DeviceLine::average(TensorView<const std::uint8_t, 2>, std::array<double, 2>, std::array<double, 2>,
                                  TensorView<float, 2>);
template void DeviceLine::average(TensorView<const std::uint16_t, 2>, std::array<double, 2>, std::array<double, 2>,
                                  TensorView<float, 2>);
template void DeviceLine::average(TensorView<const std::int16_t, 2>, std::array<double, 2>, std::array<double, 2>,
                                  TensorView<float, 2>);
template void DeviceLine::average(TensorView<const float, 2>, std::array<double, 2>, std::array<double, 2>,
                                  TensorView<float, 2>);

Lesions DeviceLine::infer(const TileGrid&, const Normalisation&, TensorView<const std::uint8_t, 2>,
                          const LesionOptions&, TensorView<float, 3>) {
  refuse();
}

}  // namespace lcx
