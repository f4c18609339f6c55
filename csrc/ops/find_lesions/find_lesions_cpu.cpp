// The map is read twice at most: once whole, to find the runs >= low, and once inside the components, to
// measure them. All between works on runs (Note [Runs]); no label image exists.

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "core/band_labels.hpp"
#include "core/bit_holes.hpp"
#include "core/kept_memory.hpp"
#include "core/run_mask.hpp"
#include "core/simd.hpp"
#include "ops/find_lesions/component_runs.hpp"
#include "ops/find_lesions/find_lesions.hpp"
#include "ops/find_lesions/outline_points.hpp"

namespace lcx::cpu {
namespace {

constexpr int kEast = 0;
constexpr int kSouth = 1;
constexpr int kWest = 2;
constexpr int kNorth = 3;

// NaN counts as 0.
#define LCX_COPY_VALUES(T)                                                         \
  LCX_SIMD_CLONES void copy_values(const T* from, float* to, std::int64_t count) { \
    for (std::int64_t x = 0; x < count; ++x) {                                     \
      const float value = probability_of(from[x]);                                 \
      to[x] = value == value ? value : 0.0F;                                       \
    }                                                                              \
  }
LCX_COPY_VALUES(float)
LCX_COPY_VALUES(Half)
LCX_COPY_VALUES(std::uint8_t)

// Leaves those of `chosen` that hold a value of at least `high`.
template <typename T>
void keep_seeded(TensorView<const T, 2> map, const RunMask& mask, const RunLabels& labels, float high,
                 std::vector<std::uint8_t>& chosen) {
  std::vector<std::uint8_t> seeded(chosen.size(), 0);
  for_each_run(mask, labels, [&](std::size_t label, std::int32_t y, Run run) {
    if (!chosen[label] || seeded[label]) return;
    for (std::int64_t x = run.begin; x < run.end && !seeded[label]; ++x) {
      if (probability_of(map(y, x)) >= high) seeded[label] = 1;
    }
  });
  chosen = std::move(seeded);
}

// What follow_boundary() visits round a component that has one run in each row, from the first crack of the first run
// on. Nothing needs to be looked up in the mask.
template <typename Visit>
void go_round(std::span<const RowRun> runs, const Visit& visit) {
  const auto east = [&](std::int64_t y, std::int64_t begin, std::int64_t end) {
    for (std::int64_t x = begin; x < end; ++x) visit(Crack{y, x, kEast});
  };
  const auto west = [&](std::int64_t y, std::int64_t begin, std::int64_t end) {
    for (std::int64_t x = end; x-- > begin;) visit(Crack{y, x, kWest});
  };
  east(runs.front().y, runs.front().begin, runs.front().end);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RowRun& run = runs[i];
    visit(Crack{run.y, run.end - 1, kSouth});
    if (i + 1 == runs.size()) break;
    const RowRun& below = runs[i + 1];
    west(run.y, below.end, run.end);
    east(below.y, run.end, below.end);
  }
  west(runs.back().y, runs.back().begin, runs.back().end);
  for (std::size_t i = runs.size(); i-- > 0;) {
    const RowRun& run = runs[i];
    visit(Crack{run.y, run.begin, kNorth});
    if (i == 0) break;
    const RowRun& above = runs[i - 1];
    west(above.y, above.begin, run.begin);
    east(run.y, run.begin, above.begin);
  }
}

// Takes the components one by one: their values, then their outlines. By now the map's rows have left the cache, and
// components lie anywhere, so that nothing but the runs to come foretells which rows are needed next; those of a
// component that has been measured are there for its outline.
template <typename T>
class Measurer {
 public:
  Measurer(TensorView<const T, 2> map, const BitRows& bits, const ComponentRuns& components)
      : map_(map), bits_(bits), components_(components) {
    std::int64_t most = 0;
    for (const RegionGeometry& geometry : components.geometry) most = std::max(most, geometry.area);
    values_ = KeptMemory(std::max(static_cast<std::size_t>(most) * sizeof(float), kLeastKept));
    for (int i = 0; i < kAhead; ++i) prefetch_next();
  }

  /// To be called once for each component, in order.
  RegionValues measure(std::size_t component) {
    auto* const values = static_cast<float*>(values_.data());
    float* to = values;
    for (const RowRun& run : components_.runs_of(component)) {
      prefetch_next();
      const std::int64_t length = run.end - run.begin;
      if (map_.has_dense_rows()) {
        copy_values(map_.row(run.y) + run.begin, to, length);
      } else {
        for (std::int64_t i = 0; i < length; ++i) copy_values(&map_(run.y, run.begin + i), to + i, 1);
      }
      to += length;
    }
    return summarise({values, to});
  }

  /// Appends the outer outline of a component, along which the map crosses `level`.
  void outline(std::size_t component, float level, Polygons<double>& outlines) const {
    CrackBlock block;
    const auto flush = [&] {
      const std::size_t before = outlines.points.size();
      outlines.points.resize(before + static_cast<std::size_t>(block.count));
      place_points(block, level, outlines.points.data() + before);
      block.count = 0;
    };
    const auto visit = [&](const Crack& crack) {
      add(crack, block);
      if (block.is_full()) flush();
    };
    const std::span<const RowRun> runs = components_.runs_of(component);
    const RegionGeometry& geometry = components_.geometry[component];
    if (static_cast<std::int64_t>(runs.size()) == geometry.y1 - geometry.y0) {
      go_round(runs, visit);
    } else {
      follow_boundary(bits_, {runs.front().y, runs.front().begin, kEast}, visit);
    }
    if (block.count > 0) flush();
    outlines.end_polygon();
  }

 private:
  static constexpr int kAhead = 24;

  void add(const Crack& crack, CrackBlock& block) const {
    const auto& outward = kHeadings[static_cast<std::size_t>((crack.heading + 3) & 3)];
    const std::int64_t y = crack.y + outward[0];
    const std::int64_t x = crack.x + outward[1];
    const bool is_inside = y >= 0 && y < map_.shape[0] && x >= 0 && x < map_.shape[1];
    const auto at = static_cast<std::size_t>(block.count++);
    block.y[at] = static_cast<std::int32_t>(crack.y);
    block.x[at] = static_cast<std::int32_t>(crack.x);
    block.dy[at] = outward[0];
    block.dx[at] = outward[1];
    block.inner[at] = probability_of(map_(crack.y, crack.x));
    block.outer[at] = is_inside ? probability_of(map_(y, x)) : std::numeric_limits<float>::quiet_NaN();
  }

  // Asks for the map's values about one run, and above and below it.
  void prefetch_next() {
    if (next_ == components_.all_runs().size()) return;
    const RowRun& run = components_.all_runs()[next_++];
    const std::int64_t below = std::min<std::int64_t>(run.y + 1, map_.shape[0] - 1);
    for (std::int64_t y = std::max(run.y - 1, 0); y <= below; ++y) {
      __builtin_prefetch(&map_(y, run.begin));
      __builtin_prefetch(&map_(y, run.end - 1));
    }
  }

  TensorView<const T, 2> map_;
  const BitRows& bits_;
  const ComponentRuns& components_;
  KeptMemory values_;
  std::size_t next_ = 0;
};

// A mask and its components.
struct Candidates {
  BitRows bits;
  RunMask runs;
  RunLabels labels;
  bool all_seeded;  ///< whether each is known to hold a value of at least `high`
};

// Above so many runs whole words of pixels are quicker to work on than runs. Either way gives the same lesions.
constexpr std::size_t kManyRuns = 1 << 16;

// The components of at least `low`, holes filled. The bits may lack the filled holes: they do not alter outer outlines.
template <typename T>
Candidates find_candidates(TensorView<const T, 2> map, const LesionOptions& options, int threads) {
  BitRows bits = bits_at_least(map, options.low, threads);
  const bool all_seeded = !(options.high > options.low);
  std::optional<RunMask> few = to_few_runs(bits, kManyRuns);
  if (!few) {
    if (!all_seeded) keep_seeded(bits, bits_at_least(map, options.high, threads), Connectivity::kEight);
    if (options.fill_holes) fill_bit_holes(bits);
    RunMask runs = to_runs(bits, threads);
    RunLabels labels = label_runs(runs, Connectivity::kEight);
    return {std::move(bits), std::move(runs), std::move(labels), true};
  }
  RunMask runs = std::move(*few);
  RunLabels labels = label_runs(runs, Connectivity::kEight);
  if (options.fill_holes && !labels.rings.empty()) {
    // Only what is kept is filled: islands in the hole of what is dropped remain.
    std::vector<std::uint8_t> holed = find_holed(labels);
    if (!all_seeded) keep_seeded(map, runs, labels, options.high, holed);
    lay_over(runs, labels, fill_run_holes(select_components(runs, labels, holed)));
  }
  return {std::move(bits), std::move(runs), std::move(labels), all_seeded};
}

template <typename T>
Lesions find(TensorView<const T, 2> map, const LesionOptions& options, int threads) {
  const Candidates candidates = find_candidates(map, options, threads);
  const ComponentRuns components = group_runs(candidates.runs, candidates.labels, options.min_area);
  Lesions lesions;
  lesions.geometry.reserve(components.count());
  lesions.values.reserve(components.count());
  lesions.outlines.offsets.reserve(components.count() + 1);
  // Round shapes have about five cracks a run. Room that is not used costs nothing, moving what was found does.
  lesions.outlines.points.reserve(std::min<std::size_t>(8 * components.all_runs().size(), 1 << 20));
  Measurer measurer(map, candidates.bits, components);
  for (std::size_t i = 0; i < components.count(); ++i) {
    const RegionValues values = measurer.measure(i);
    if (!candidates.all_seeded && values.max < options.high) continue;
    lesions.geometry.push_back(components.geometry[i]);
    lesions.values.push_back(values);
    measurer.outline(i, options.low, lesions.outlines);
  }
  return lesions;
}

}  // namespace

Lesions find_lesions(TensorView<const float, 2> map, const LesionOptions& options, int threads) {
  return find(map, options, threads);
}

Lesions find_lesions(TensorView<const Half, 2> map, const LesionOptions& options, int threads) {
  return find(map, options, threads);
}

Lesions find_lesions(TensorView<const std::uint8_t, 2> map, const LesionOptions& options, int threads) {
  return find(map, options, threads);
}

}  // namespace lcx::cpu
