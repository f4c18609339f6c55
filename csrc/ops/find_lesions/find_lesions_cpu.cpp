// The map is read twice at most: once whole, to find the runs >= low, and once inside the components, to
// measure them. All between works on runs (Note [Runs]); no label image exists.

#include <algorithm>
#include <cmath>

#include "core/run_mask.hpp"
#include "ops/find_lesions/find_lesions.hpp"
#include "ops/find_lesions/find_lesions_impl.hpp"

namespace lcx::cpu {
namespace {

constexpr int kEast = 0;

// Calls visit(label, y, run) for each run.
template <typename Visit>
void for_each_run(const RunMask& mask, const RunLabels& labels, const Visit& visit) {
  for (std::int64_t y = 0; y < mask.height; ++y) {
    for (const Run* run = mask.begin_of(y); run != mask.end_of(y); ++run) {
      visit(static_cast<std::size_t>(labels.labels[static_cast<std::size_t>(run - mask.runs.data())]), y, *run);
    }
  }
}

RunMask keep_seeded(TensorView<const float, 2> map, const RunMask& mask, float high) {
  const RunLabels labels = label_runs(mask, Connectivity::kEight);
  std::vector<std::uint8_t> seeded(static_cast<std::size_t>(labels.count), 0);
  for_each_run(mask, labels, [&](std::size_t label, std::int64_t y, Run run) {
    if (seeded[label]) return;
    for (std::int64_t x = run.begin; x < run.end; ++x) {
      if (map(y, x) >= high) {
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

std::vector<RegionValues> measure_values(TensorView<const float, 2> map, const RunMask& mask, const RunLabels& labels,
                                         const std::vector<RegionGeometry>& geometry) {
  std::vector<std::vector<float>> gathered(geometry.size());
  for (std::size_t i = 0; i < geometry.size(); ++i) gathered[i].reserve(static_cast<std::size_t>(geometry[i].area));
  for_each_run(mask, labels, [&](std::size_t label, std::int64_t y, Run run) {
    for (std::int64_t x = run.begin; x < run.end; ++x) {
      const float value = map(y, x);
      gathered[label].push_back(std::isnan(value) ? 0.0F : value);
    }
  });
  std::vector<RegionValues> values;
  values.reserve(gathered.size());
  for (auto& region : gathered) values.push_back(summarise(region));
  return values;
}

// Where between the crack's two pixels the map crosses `level`.
std::array<double, 2> crossing(TensorView<const float, 2> map, const Crack& crack, float level) {
  const auto& outward = kHeadings[static_cast<std::size_t>((crack.heading + 3) & 3)];
  const std::int64_t y = crack.y + outward[0];
  const std::int64_t x = crack.x + outward[1];
  double part = 0.5;
  if (y >= 0 && y < map.shape[0] && x >= 0 && x < map.shape[1]) {
    part = crossing_part(map(crack.y, crack.x), map(y, x), level);
  }
  return {static_cast<double>(crack.y) + 0.5 + part * outward[0],
          static_cast<double>(crack.x) + 0.5 + part * outward[1]};
}

}  // namespace

Lesions find_lesions(TensorView<const float, 2> map, const LesionOptions& options, int threads) {
  RunMask mask = encode_at_least(map, options.low, threads);
  if (options.high > options.low) mask = keep_seeded(map, mask, options.high);
  if (options.fill_holes) mask = fill_run_holes(mask);
  Lesions lesions;
  RunLabels labels;
  mask = measure(mask, options.min_area, labels, lesions.geometry);
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

}  // namespace lcx::cpu
