#pragma once

#include "core/area_taps.hpp"
#include "core/host_device.hpp"
#include "ops/extract_tiles/extract_tiles.hpp"

namespace lcx {

/// Normalisation with its divisions done once.
struct AffineClip {
  float low;
  float inverse_range;
  float gain;
  float bias;
};

LCX_HOST_DEVICE inline AffineClip affine_clip(const Normalisation& n) {
  return {n.low, 1.0F / (n.high - n.low), 1.0F / n.deviation, -n.mean / n.deviation};
}

LCX_HOST_DEVICE inline float apply(const AffineClip& clip, float value) {
  float unit = (value - clip.low) * clip.inverse_range;
  // Written so that NaN becomes 0, the darkest value.
  unit = unit > 0.0F ? unit : 0.0F;
  unit = unit < 1.0F ? unit : 1.0F;
  return unit * clip.gain + clip.bias;
}

}  // namespace lcx
