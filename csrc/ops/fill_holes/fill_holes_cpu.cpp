#include <optional>

#include "core/bit_holes.hpp"
#include "core/bit_rows.hpp"
#include "core/run_mask.hpp"
#include "ops/fill_holes/fill_holes.hpp"

namespace lcx::cpu {
namespace {

// Up to so many runs they are quicker to work on than whole words of pixels (Note [Flood by words]).
constexpr std::size_t kFewRuns = 1 << 14;

// Only components that enclose something are looked at twice. False, and nothing done, if there are too many runs.
bool fill_few_holes(BitRows& bits) {
  const std::optional<RunMask> runs = to_few_runs(bits, kFewRuns);
  if (!runs) return false;
  const RunLabels labels = label_runs(*runs, Connectivity::kEight);
  if (labels.rings.empty()) return true;
  const RunMask filled = fill_run_holes(select_components(*runs, labels, find_holed(labels)));
  for (std::int64_t y = 0; y < filled.height; ++y) {
    for (const Run* run = filled.begin_of(y); run != filled.end_of(y); ++run) {
      set_bits(bits.row(y), run->begin, run->end);
    }
  }
  return true;
}

}  // namespace

void fill_holes(TensorView<const std::uint8_t, 2> mask, TensorView<std::uint8_t, 2> filled, int threads) {
  BitRows bits = bits_nonzero(mask, threads);
  if (!fill_few_holes(bits)) fill_bit_holes(bits);
  to_flags(bits, filled, threads);
}

}  // namespace lcx::cpu
