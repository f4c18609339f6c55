#include "core/band_labels.hpp"
#include "core/bit_rows.hpp"
#include "ops/remove_small/remove_small.hpp"

namespace lcx::cpu {

void remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                  TensorView<std::uint8_t, 2> kept, int threads) {
  BitRows bits = bits_nonzero(mask, threads);
  keep_large(bits, min_area, connectivity);
  to_flags(bits, kept, threads);
}

}  // namespace lcx::cpu
