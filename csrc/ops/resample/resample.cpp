#include "ops/resample/resample.hpp"

#include "core/error.hpp"
#include "core/tile_grid.hpp"

namespace lcx {

template <typename T>
void resample(TensorView<const T, 2> image, std::span<const std::array<double, 2>> scales,
              std::span<const TensorView<float, 2>> averages, int threads, Stream stream) {
  require_argument(!image.empty(), "image is ", shape_text(image.shape), "; it must not be empty");
  require_argument(scales.size() == averages.size(), scales.size(), " scales for ", averages.size(), " results");
  for (std::size_t k = 0; k < scales.size(); ++k) {
    for (const double scale : scales[k]) {
      require_argument(scale >= 1.0 / 64 && scale <= 4096.0, "scale ", scale,
                       "; must be within 1/64 and 4096 image pixels per grid pixel");
    }
    const auto shape = grid_shape(image.shape, scales[k]);
    require_argument(averages[k].shape == shape, "averages are ", shape_text(averages[k].shape), "; the scale gives ",
                     shape_text(shape));
    require_argument(averages[k].device == image.device, "image is on ", to_string(image.device), ", averages on ",
                     to_string(averages[k].device), "; both must be on one device");
  }
  if (image.device.type == DeviceType::kCuda) {
    cuda::resample<T>(image, scales, averages, stream);
  } else {
    cpu::resample<T>(image, scales, averages, threads);
  }
}

#define LCX_INSTANTIATE(T)                                                                  \
  template void resample<T>(TensorView<const T, 2>, std::span<const std::array<double, 2>>, \
                            std::span<const TensorView<float, 2>>, int, Stream)
LCX_INSTANTIATE(std::uint8_t);
LCX_INSTANTIATE(std::uint16_t);
LCX_INSTANTIATE(std::int16_t);
LCX_INSTANTIATE(float);

}  // namespace lcx
