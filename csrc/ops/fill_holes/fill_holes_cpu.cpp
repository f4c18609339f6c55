#include "core/bit_holes.hpp"
#include "core/bit_pack.hpp"
#include "core/parallel_for.hpp"
#include "ops/fill_holes/fill_holes.hpp"

namespace lcx::cpu {

void fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled, int threads) {
  BitRows bits = bits_nonzero(mask, threads);
  fill_bit_holes(bits);
  parallel_for(bits.height, 64, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) unpack_bits(bits.row(y), bits.width, filled.row(y));
  });
}

}  // namespace lcx::cpu
