#include "core/band_labels.hpp"
#include "core/bit_rows.hpp"
#include "ops/hysteresis/hysteresis.hpp"

namespace lcx::cpu {

void hysteresis(TensorView<const float, 2> values, float low, float high, Connectivity connectivity,
                TensorView<std::uint8_t, 2> mask, int threads) {
  BitRows bits = bits_at_least(values, low, threads);
  if (high > low) keep_seeded(bits, bits_at_least(values, high, threads), connectivity);
  to_flags(bits, mask, threads);
}

}  // namespace lcx::cpu
