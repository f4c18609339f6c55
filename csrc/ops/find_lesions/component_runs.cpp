#include "ops/find_lesions/component_runs.hpp"

#include <limits>

namespace lcx {

ComponentRuns group_runs(const RunMask& mask, const RunLabels& labels, std::int64_t min_area) {
  constexpr std::size_t kDropped = std::numeric_limits<std::size_t>::max();
  std::vector<RegionGeometry> all(static_cast<std::size_t>(labels.count));
  std::vector<std::size_t> places(all.size(), 0);  // how many runs a component has; later, where its next one goes
  for_each_run(mask, labels, [&](std::size_t label, std::int32_t y, Run run) {
    all[label].add_run(y, run.begin, run.end);
    ++places[label];
  });
  ComponentRuns result;
  result.geometry.reserve(all.size());
  result.ends.reserve(all.size());
  std::size_t total = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].area < min_area) {
      places[i] = kDropped;
      continue;
    }
    result.geometry.push_back(all[i]);
    result.ends.push_back(total + places[i]);
    places[i] = total;
    total = result.ends.back();
  }
  result.runs = std::make_unique_for_overwrite<RowRun[]>(total);
  for_each_run(mask, labels, [&](std::size_t label, std::int32_t y, Run run) {
    if (places[label] != kDropped) result.runs[places[label]++] = {y, run.begin, run.end};
  });
  return result;
}

}  // namespace lcx
