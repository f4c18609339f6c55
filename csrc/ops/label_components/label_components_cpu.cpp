// Runs are labelled by union-find (Note [Runs]) and painted; background is left as it is.

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
      for (const Run* run = runs.begin_of(y); run != runs.end_of(y); ++run) {
        const std::int32_t label = components.labels[static_cast<std::size_t>(run - runs.runs.data())] + 1;
        // Written out: most runs of a noisy mask are too short to be worth a call.
        for (std::int32_t x = run->begin; x < run->end; ++x) row[x] = label;
      }
    }
  });
  return components.count;
}

}  // namespace lcx::cpu
