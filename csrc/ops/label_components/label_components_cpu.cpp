// Runs are labelled by union-find (Note [Runs]) and painted; each label pixel is written once.

#include <algorithm>

#include "core/parallel_for.hpp"
#include "ops/label_components/label_components.hpp"

namespace lcx::cpu {

std::int32_t label_components(TensorView<const std::uint8_t, 2> mask, Connectivity connectivity,
                              TensorView<std::int32_t, 2> labels, int threads) {
  const RunMask runs = encode_nonzero(mask, threads);
  const RunLabels components = label_runs(runs, connectivity);
  parallel_for(runs.height, 64, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      std::int32_t* row = labels.row(y);
      std::int64_t at = 0;
      for (const Run* run = runs.begin_of(y); run != runs.end_of(y); ++run) {
        std::fill(row + at, row + run->begin, 0);
        std::fill(row + run->begin, row + run->end,
                  components.labels[static_cast<std::size_t>(run - runs.runs.data())] + 1);
        at = run->end;
      }
      std::fill(row + at, row + runs.width, 0);
    }
  });
  return components.count;
}

}  // namespace lcx::cpu
