#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/run_mask.hpp"
#include "ops/fill_holes/fill_holes.hpp"

namespace lcx::cpu {

void fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled, int threads) {
  const RunMask runs = fill_run_holes(encode_nonzero(mask, threads));
  parallel_for(runs.height, 64, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      std::uint8_t* row = filled.row(y);
      for (const Run* run = runs.begin_of(y); run != runs.end_of(y); ++run) {
        std::fill(row + run->begin, row + run->end, std::uint8_t{1});
      }
    }
  });
}

}  // namespace lcx::cpu
