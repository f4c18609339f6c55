#pragma once

#include <cstdint>

#include "core/tensor_view.hpp"

namespace lcx {

/// A model's constants for image_score.
struct ImageScoring {
  double lse_r = 4.0;         ///< r, positive: how far the log-sum-exp leans towards the maximum
  double top_fraction = 0.0;  ///< of the pixels, within [0, 1]
  double a1 = 1.0, a2 = 0.0, b = 0.0;
};

/// An image's score from the evidence of one map: sigmoid(a1 LSE + a2 Top + b) over the logits z of the pixels inside,
/// with LSE = log(mean(exp(r z))) / r (Pinheiro and Collobert 2015) and Top the mean of the highest
/// ceil(top_fraction n), at least 1.
///
/// probability  [H, W] float32, kept within [1e-6, 1 - 1e-6]; NaN counts as 0
/// mask         [H, W] uint8, nonzero = inside
/// Returns 0..1; 0 where nothing is inside.
/// Throws Error(kInvalidArgument) for another mask shape, r not positive or a fraction out of range, and
/// Error(kUnsupported) for arrays on a GPU.
double image_score(TensorView<const float, 2> probability, TensorView<const std::uint8_t, 2> mask,
                   const ImageScoring& scoring);

namespace cpu {
double image_score(TensorView<const float, 2> probability, TensorView<const std::uint8_t, 2> mask,
                   const ImageScoring& scoring);
}  // namespace cpu

}  // namespace lcx
