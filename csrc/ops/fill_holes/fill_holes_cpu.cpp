#include "core/bit_holes.hpp"
#include "core/bit_rows.hpp"
#include "ops/fill_holes/fill_holes.hpp"

namespace lcx::cpu {

void fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled, int threads) {
  BitRows bits = bits_nonzero(mask, threads);
  fill_bit_holes(bits);
  to_flags(bits, filled, threads);
}

}  // namespace lcx::cpu
