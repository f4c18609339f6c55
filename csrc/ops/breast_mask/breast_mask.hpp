#pragma once

#include <cstdint>

#include "core/tensor_view.hpp"

namespace lcx {

/// Where the breast is on a mammogram, digital or digitised film.
///
/// image  [H, W]  coarse image, area-averaged to a long side of about 512 pixels (any size from 1 x 1 works),
///                brighter = denser, in any unit: the result is that of image * a + b for every a > 0, but
///                for the rounding of that product. NaN counts as the darkest pixel, an infinity as the
///                darkest or brightest finite one.
/// mask   [H, W]  1 = breast, 0 = background, letters, labels and frames. The pectoral muscle and what else
/// of
///                the body joins the breast stay in. All 0 where the image is constant or holds nothing
///                bright; all 1 where it shows no background at all, as in a tight crop.
/// A mirrored image gives the mirrored mask.
/// stream         for arrays on a GPU; nothing waits for it
/// Throws Error(kInvalidArgument) if the shapes or the devices differ.
void breast_mask(TensorView<const float, 2> image, TensorView<std::uint8_t, 2> mask, Stream stream = {});

namespace cpu {
void breast_mask(TensorView<const float, 2> image, TensorView<std::uint8_t, 2> mask);
}
namespace cuda {
void breast_mask(TensorView<const float, 2> image, TensorView<std::uint8_t, 2> mask, Stream stream);
}

}  // namespace lcx
