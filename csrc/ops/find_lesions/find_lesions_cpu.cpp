// The map is read twice at most: once whole, to find the runs >= low, and once inside the components, to
// measure them. All between works on runs (Note [Runs]); no label image exists.

#include <algorithm>
#include <cmath>
#include <memory>

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

template <typename T>
RunMask keep_seeded(TensorView<const T, 2> map, const RunMask& mask, float high) {
  const RunLabels labels = label_runs(mask, Connectivity::kEight);
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
  return select_components(mask, labels, seeded);
}

// Drops components below min_area and measures the others; `labels` is left matching the kept mask.
RunMask measure(const RunMask& mask, std::int64_t min_area, RunLabels& labels, std::vector<RegionGeometry>& geometry) {
  labels = label_runs(mask, Connectivity::kEight);
  std::vector<RegionGeometry> all(static_cast<std::size_t>(labels.count));
  for_each_run(mask, labels, [&](std::size_t label, std::int64_t y, Run run) {
    all[label].add_run(static_cast<std::int32_t>(y), run.begin, run.end);
  });
  std::vector<std::uint8_t> keep(all.size());
  std::vector<std::int32_t> new_label(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    keep[i] = all[i].area >= min_area ? 1 : 0;
    new_label[i] = static_cast<std::int32_t>(geometry.size());
    if (keep[i]) geometry.push_back(all[i]);
  }
  std::vector<std::int32_t> kept_labels;
  for (const auto label : labels.labels) {
    const auto i = static_cast<std::size_t>(label);
    if (keep[i]) kept_labels.push_back(new_label[i]);
  }
  RunMask kept = select_components(mask, labels, keep);
  labels = {std::move(kept_labels), static_cast<std::int32_t>(geometry.size())};
  return kept;
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

// Above so many runs whole words of pixels are quicker to work on than runs.
constexpr std::int64_t kManyRuns = 1 << 16;

bool is_dense(const BitRows& bits) {
  std::int64_t runs = 0;
  for (std::int64_t y = 0; y < bits.height; ++y) runs += count_runs(bits.row(y), bits.row_words);
  return runs > kManyRuns;
}

// The pixels of all lesions, small ones included.
template <typename T>
RunMask find_mask(TensorView<const T, 2> map, const LesionOptions& options, int threads) {
  BitRows bits = bits_at_least(map, options.low, threads);
  if (is_dense(bits)) {
    if (options.high > options.low) {
      const BandLabels labels = label_bands(bits, Connectivity::kEight);
      keep_components(bits, labels, seeded_components(bits, labels, bits_at_least(map, options.high, threads)));
    }
    if (options.fill_holes) fill_bit_holes(bits);
    return to_runs(bits, threads);
  }
  RunMask mask = to_runs(bits, threads);
  if (options.high > options.low) mask = keep_seeded(map, mask, options.high);
  if (options.fill_holes) mask = fill_run_holes(mask);
  return mask;
}

template <typename T>
Lesions find(TensorView<const T, 2> map, const LesionOptions& options, int threads) {
  Lesions lesions;
  RunLabels labels;
  const RunMask mask = measure(find_mask(map, options, threads), options.min_area, labels, lesions.geometry);
  lesions.values = measure_values(map, mask, labels, lesions.geometry);

  const BitMask foreground(mask);
  std::size_t next = 0;
  // Labels are in raster order, so a component's first run is where its number first appears.
  for_each_run(mask, labels, [&](std::size_t label, std::int64_t y, Run run) {
    if (label != next) return;
    ++next;
    follow_boundary(foreground, {y, run.begin, kEast},
                    [&](const Crack& crack) { lesions.outlines.points.push_back(crossing(map, crack, options.low)); });
    lesions.outlines.end_polygon();
  });
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
