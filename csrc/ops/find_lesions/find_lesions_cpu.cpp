// The map is read twice at most: once whole, to find the runs >= low, and once inside the components, to
// measure them. All between works on runs (Note [Runs]); no label image exists.

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "core/band_labels.hpp"
#include "core/bit_holes.hpp"
#include "core/run_mask.hpp"
#include "core/simd.hpp"
#include "ops/find_lesions/find_lesions.hpp"
#include "ops/find_lesions/find_lesions_impl.hpp"

namespace lcx::cpu {
namespace {

constexpr int kEast = 0;

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

// Calls visit(label, y, run) for each run.
template <typename Visit>
void for_each_run(const RunMask& mask, const RunLabels& labels, const Visit& visit) {
  for (std::int64_t y = 0; y < mask.height; ++y) {
    for (const Run* run = mask.begin_of(y); run != mask.end_of(y); ++run) {
      visit(static_cast<std::size_t>(labels.labels[static_cast<std::size_t>(run - mask.runs.data())]), y, *run);
    }
  }
}

// Asks for the map's rows about the runs to come. By the time the runs are known, the map's rows have left the cache;
// runs lie wherever lesions do, so nothing but the runs themselves foretells the next one.
template <typename T>
class RunPrefetcher {
 public:
  RunPrefetcher(TensorView<const T, 2> map, const RunMask& mask) : map_(map), mask_(mask) {
    for (int i = 0; i < kAhead; ++i) advance();
  }

  /// To be called once a run, in order.
  void advance() {
    while (y_ < mask_.height && run_ == mask_.row_offsets[static_cast<std::size_t>(y_) + 1]) ++y_;
    if (y_ == mask_.height) return;
    const Run run = mask_.runs[static_cast<std::size_t>(run_++)];
    const std::int64_t below = std::min(y_ + 1, mask_.height - 1);
    for (std::int64_t y = std::max<std::int64_t>(y_ - 1, 0); y <= below; ++y) {
      __builtin_prefetch(map_.data + y * map_.strides[0] + run.begin * map_.strides[1]);
      __builtin_prefetch(map_.data + y * map_.strides[0] + (run.end - 1) * map_.strides[1]);
    }
  }

 private:
  static constexpr int kAhead = 24;

  TensorView<const T, 2> map_;
  const RunMask& mask_;
  std::int64_t y_ = 0;
  std::int64_t run_ = 0;
};

// Per component, whether it holds a value of at least `high`.
template <typename T>
std::vector<std::uint8_t> find_seeded(TensorView<const T, 2> map, const RunMask& mask, const RunLabels& labels,
                                      float high) {
  std::vector<std::uint8_t> seeded(static_cast<std::size_t>(labels.count), 0);
  RunPrefetcher prefetcher(map, mask);
  for_each_run(mask, labels, [&](std::size_t label, std::int64_t y, Run run) {
    prefetcher.advance();
    if (seeded[label]) return;
    for (std::int64_t x = run.begin; x < run.end; ++x) {
      if (probability_of(map(y, x)) >= high) {
        seeded[label] = 1;
        return;
      }
    }
  });
  return seeded;
}

// A mask and its components, of which those with a 0 in `keep` (if it is not empty) do not count.
struct Candidates {
  BitRows bits;
  RunMask runs;
  RunLabels labels;
  std::vector<std::uint8_t> keep;
};

// Measures the components that count and are large enough; `labels` is left matching their mask, which is returned.
RunMask measure(const Candidates& candidates, std::int64_t min_area, RunLabels& labels,
                std::vector<RegionGeometry>& geometry) {
  std::vector<RegionGeometry> all(static_cast<std::size_t>(candidates.labels.count));
  for_each_run(candidates.runs, candidates.labels, [&](std::size_t label, std::int64_t y, Run run) {
    all[label].add_run(static_cast<std::int32_t>(y), run.begin, run.end);
  });
  std::vector<std::uint8_t> keep(all.size());
  std::vector<std::int32_t> new_label(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    keep[i] = all[i].area >= min_area && (candidates.keep.empty() || candidates.keep[i]) ? 1 : 0;
    new_label[i] = static_cast<std::int32_t>(geometry.size());
    if (keep[i]) geometry.push_back(all[i]);
  }
  labels = {{}, static_cast<std::int32_t>(geometry.size()), 0};
  for (const auto label : candidates.labels.labels) {
    const auto i = static_cast<std::size_t>(label);
    if (keep[i]) labels.labels.push_back(new_label[i]);
  }
  return select_components(candidates.runs, candidates.labels, keep);
}

template <typename T>
std::vector<RegionValues> measure_values(TensorView<const T, 2> map, const RunMask& mask, const RunLabels& labels,
                                         const std::vector<RegionGeometry>& geometry) {
  // The regions' values one behind another; `ends` grows from each region's begin to its end.
  std::vector<std::size_t> ends(geometry.size());
  std::size_t total = 0;
  for (std::size_t i = 0; i < geometry.size(); ++i) {
    ends[i] = total;
    total += static_cast<std::size_t>(geometry[i].area);
  }
  const auto gathered = std::make_unique_for_overwrite<float[]>(total);
  RunPrefetcher prefetcher(map, mask);
  for_each_run(mask, labels, [&](std::size_t label, std::int64_t y, Run run) {
    prefetcher.advance();
    float* to = gathered.get() + ends[label];
    if (map.has_dense_rows()) {
      copy_values(map.row(y) + run.begin, to, run.end - run.begin);
    } else {
      for (std::int64_t x = run.begin; x < run.end; ++x) copy_values(&map(y, x), to + (x - run.begin), 1);
    }
    ends[label] += static_cast<std::size_t>(run.end - run.begin);
  });
  std::vector<RegionValues> values;
  values.reserve(geometry.size());
  for (std::size_t i = 0; i < geometry.size(); ++i) {
    const auto area = static_cast<std::size_t>(geometry[i].area);
    values.push_back(summarise({gathered.get() + (ends[i] - area), area}));
  }
  return values;
}

// Where between the crack's two pixels the map crosses `level`.
template <typename T>
std::array<double, 2> crossing(TensorView<const T, 2> map, const Crack& crack, float level) {
  const auto& outward = kHeadings[static_cast<std::size_t>((crack.heading + 3) & 3)];
  const std::int64_t y = crack.y + outward[0];
  const std::int64_t x = crack.x + outward[1];
  double part = 0.5;
  if (y >= 0 && y < map.shape[0] && x >= 0 && x < map.shape[1]) {
    part = crossing_part(probability_of(map(crack.y, crack.x)), probability_of(map(y, x)), level);
  }
  return {static_cast<double>(crack.y) + 0.5 + part * outward[0],
          static_cast<double>(crack.x) + 0.5 + part * outward[1]};
}

// Above so many runs whole words of pixels are quicker to work on than runs. Either way gives the same lesions, so that
// every eighth row will do to tell.
constexpr std::int64_t kManyRuns = 1 << 16;

bool is_dense(const BitRows& bits) {
  constexpr std::int64_t kStep = 8;
  std::int64_t runs = 0;
  for (std::int64_t y = 0; y < bits.height; y += kStep) runs += count_runs(bits.row(y), bits.row_words);
  return runs * kStep > kManyRuns;
}

// The components of at least `low`, holes filled. The bits may lack the filled holes: they do not alter outer outlines.
template <typename T>
Candidates find_candidates(TensorView<const T, 2> map, const LesionOptions& options, int threads) {
  BitRows bits = bits_at_least(map, options.low, threads);
  if (is_dense(bits)) {
    if (options.high > options.low) {
      keep_seeded(bits, bits_at_least(map, options.high, threads), Connectivity::kEight);
    }
    if (options.fill_holes) fill_bit_holes(bits);
    RunMask runs = to_runs(bits, threads);
    RunLabels labels = label_runs(runs, Connectivity::kEight);
    return {std::move(bits), std::move(runs), std::move(labels), {}};
  }
  RunMask runs = to_runs(bits, threads);
  RunLabels labels = label_runs(runs, Connectivity::kEight);
  std::vector<std::uint8_t> seeded;
  if (options.high > options.low) seeded = find_seeded(map, runs, labels, options.high);
  if (options.fill_holes && labels.holes > 0) {
    if (!seeded.empty()) runs = select_components(runs, labels, seeded);
    runs = fill_run_holes(runs);
    labels = label_runs(runs, Connectivity::kEight);
    seeded.clear();
  }
  return {std::move(bits), std::move(runs), std::move(labels), std::move(seeded)};
}

// The outer outline of each region, along which the map crosses `level`.
template <typename T>
Polygons<double> outline(TensorView<const T, 2> map, const BitRows& bits, const RunMask& mask, const RunLabels& labels,
                         float level) {
  Polygons<double> outlines;
  // Round shapes have about five cracks a run. Room that is not used costs nothing, moving what was found does.
  outlines.points.reserve(std::min<std::size_t>(8 * mask.runs.size(), 1 << 20));
  std::vector<Crack> cracks;
  std::size_t next = 0;
  // Labels are in raster order, so a component's first run is where its number first appears.
  for_each_run(mask, labels, [&](std::size_t label, std::int64_t y, Run run) {
    if (label != next) return;
    ++next;
    cracks.clear();
    follow_boundary(bits, {y, run.begin, kEast}, [&](const Crack& crack) { cracks.push_back(crack); });
    // Apart from following, which waits for no value of the map, so that reads from memory overlap.
    for (const Crack& crack : cracks) outlines.points.push_back(crossing(map, crack, level));
    outlines.end_polygon();
  });
  return outlines;
}

template <typename T>
Lesions find(TensorView<const T, 2> map, const LesionOptions& options, int threads) {
  const Candidates candidates = find_candidates(map, options, threads);
  Lesions lesions;
  RunLabels labels;
  const RunMask mask = measure(candidates, options.min_area, labels, lesions.geometry);
  lesions.values = measure_values(map, mask, labels, lesions.geometry);
  lesions.outlines = outline(map, candidates.bits, mask, labels, options.low);
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
