#include <optional>
#include <vector>

#include "core/band_labels.hpp"
#include "core/bit_rows.hpp"
#include "core/run_mask.hpp"
#include "ops/remove_small/remove_small.hpp"

namespace lcx::cpu {
namespace {

// Up to so many runs they are quicker to work on than whole words of pixels (Note [Bands]).
constexpr std::size_t kFewRuns = 1 << 16;

// False, and nothing done, if there are too many runs.
bool keep_large_of_few(BitRows& bits, std::int64_t min_area, Connectivity connectivity) {
  const std::optional<RunMask> runs = to_few_runs(bits, kFewRuns);
  if (!runs) return false;
  const RunLabels labels = label_runs(*runs, connectivity);
  std::vector<std::int64_t> areas(static_cast<std::size_t>(labels.count), 0);
  for_each_run(*runs, labels, [&](std::size_t label, std::int32_t, Run run) { areas[label] += run.end - run.begin; });
  for_each_run(*runs, labels, [&](std::size_t label, std::int32_t y, Run run) {
    if (areas[label] < min_area) clear_bits(bits.row(y), run.begin, run.end);
  });
  return true;
}

}  // namespace

void remove_small(TensorView<const std::uint8_t, 2> mask, std::int64_t min_area, Connectivity connectivity,
                  TensorView<std::uint8_t, 2> kept, int threads) {
  BitRows bits = bits_nonzero(mask, threads);
  if (!keep_large_of_few(bits, min_area, connectivity)) keep_large(bits, min_area, connectivity);
  to_flags(bits, kept, threads);
}

}  // namespace lcx::cpu
