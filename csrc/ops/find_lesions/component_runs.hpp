#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/region_statistics.hpp"
#include "core/run_mask.hpp"

namespace lcx {

/// A run and the row it lies in.
struct RowRun {
  std::int32_t y;
  std::int32_t begin;
  std::int32_t end;
};

/// Components of a mask: their measurements, and their runs, those of a component together and by rows.
struct ComponentRuns {
  std::vector<RegionGeometry> geometry;
  std::vector<std::size_t> ends;  ///< where in `runs` each component's end
  std::unique_ptr<RowRun[]> runs;

  std::size_t count() const { return geometry.size(); }
  std::span<const RowRun> runs_of(std::size_t component) const {
    const std::size_t begin = component == 0 ? 0 : ends[component - 1];
    return {runs.get() + begin, ends[component] - begin};
  }
  std::span<const RowRun> all_runs() const { return {runs.get(), ends.empty() ? 0 : ends.back()}; }
};

/// The components of at least `min_area` pixels.
ComponentRuns group_runs(const RunMask& mask, const RunLabels& labels, std::int64_t min_area);

}  // namespace lcx
