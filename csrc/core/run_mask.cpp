#include "core/run_mask.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "core/error.hpp"
#include "core/parallel_for.hpp"

namespace lcx {
namespace {

// Rows worth a thread of their own.
constexpr std::int64_t kRowsPerThread = 1024;

// Writes a row's runs one behind another; returns where the last one ends.
Run* write_runs(const std::uint64_t* words, std::int64_t count, std::int64_t width, Run* to) {
  std::uint64_t before = 0;  // the bit before the word
  std::int32_t begin = 0;
  for (std::int64_t k = 0; k < count; ++k) {
    k = skip_background(words, k, count, before);
    if (k == count) break;
    const std::uint64_t word = words[k];
    if (word == 0 - before) continue;
    const auto base = static_cast<std::int32_t>(64 * k);
    // Transitions: bits that differ from the bit before them.
    std::uint64_t edges = word ^ ((word << 1) | before);
    if (before != 0) {
      *to++ = {begin, base + std::countr_zero(edges)};
      edges &= edges - 1;
    }
    while (edges != 0) {
      begin = base + std::countr_zero(edges);
      edges &= edges - 1;
      if (edges == 0) break;
      *to++ = {begin, base + std::countr_zero(edges)};
      edges &= edges - 1;
    }
    before = word >> 63;
  }
  if (before != 0 && width % 64 == 0) *to++ = {begin, static_cast<std::int32_t>(width)};
  return to;
}

// Union-find over runs. A parent is never a later run than its child, so roots are their component's first run and
// one pass in order resolves everybody.
class DisjointRuns {
 public:
  explicit DisjointRuns(std::size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0); }

  /// The first neighbour of a run that has none yet.
  void adopt(std::int32_t run, std::int32_t neighbour) { parent(run) = find(neighbour); }

  /// False if they were joined before.
  bool join(std::int32_t run, std::int32_t neighbour) {
    const std::int32_t a = find(run);
    const std::int32_t b = find(neighbour);
    parent(std::max(a, b)) = std::min(a, b);
    return a != b;
  }

  /// Turns parents into component numbers 0, 1, ... by first run.
  RunLabels number() && {
    RunLabels result{std::move(parent_), 0, {}};
    for (std::size_t i = 0; i < result.labels.size(); ++i) {
      const auto up = static_cast<std::size_t>(result.labels[i]);
      result.labels[i] = up == i ? result.count++ : result.labels[up];
    }
    return result;
  }

 private:
  std::int32_t& parent(std::int32_t run) { return parent_[static_cast<std::size_t>(run)]; }

  std::int32_t find(std::int32_t run) {
    while (parent(run) != run) {
      parent(run) = parent(parent(run));
      run = parent(run);
    }
    return run;
  }

  std::vector<std::int32_t> parent_;
};

// Calls visit(run, neighbour, is_first) for each run and each one in the row above that it touches, by their places in
// the mask. `reach` is 1 where diagonals count.
template <typename Visit>
void for_each_contact(const RunMask& mask, std::int32_t reach, const Visit& visit) {
  const Run* origin = mask.runs.data();
  for (std::int64_t y = 1; y < mask.height; ++y) {
    const Run* above = mask.begin_of(y - 1);
    const Run* above_end = mask.end_of(y - 1);
    for (const Run* run = mask.begin_of(y); run != mask.end_of(y); ++run) {
      while (above != above_end && above->end + reach <= run->begin) ++above;
      const Run* at = above;
      for (; at != above_end && at->begin < run->end + reach; ++at) {
        visit(static_cast<std::int32_t>(run - origin), static_cast<std::int32_t>(at - origin), at == above);
      }
      // The last one may reach the next run too.
      if (at != above) above = at - 1;
    }
  }
}

RunMask complement(const RunMask& mask) {
  RunMask result{mask.height, mask.width, {}, {0}};
  for (std::int64_t y = 0; y < mask.height; ++y) {
    std::int32_t at = 0;
    for (const Run* run = mask.begin_of(y); run != mask.end_of(y); ++run) {
      if (run->begin > at) result.runs.push_back({at, run->begin});
      at = run->end;
    }
    if (at < mask.width) result.runs.push_back({at, static_cast<std::int32_t>(mask.width)});
    result.row_offsets.push_back(static_cast<std::int64_t>(result.runs.size()));
  }
  return result;
}

}  // namespace

RunMask to_runs(const BitRows& bits, int threads) {
  RunMask mask{bits.height, bits.width, {}, std::vector<std::int64_t>(static_cast<std::size_t>(bits.height) + 1, 0)};
  for (std::int64_t y = 0; y < bits.height; ++y) {
    const auto row = static_cast<std::size_t>(y);
    mask.row_offsets[row + 1] = mask.row_offsets[row] + count_runs(bits.row(y), bits.row_words);
  }
  mask.runs.resize(static_cast<std::size_t>(mask.row_offsets.back()));
  parallel_for(bits.height, kRowsPerThread, threads, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t y = first; y < last; ++y) {
      write_runs(bits.row(y), bits.row_words, bits.width,
                 mask.runs.data() + mask.row_offsets[static_cast<std::size_t>(y)]);
    }
  });
  return mask;
}

std::optional<RunMask> to_few_runs(const BitRows& bits, std::size_t most) {
  RunMask mask{bits.height, bits.width, {}, {}};
  mask.row_offsets.reserve(static_cast<std::size_t>(bits.height) + 1);
  mask.row_offsets.push_back(0);
  std::vector<Run> row(static_cast<std::size_t>(bits.width + 1) / 2);
  for (std::int64_t y = 0; y < bits.height; ++y) {
    const Run* end = write_runs(bits.row(y), bits.row_words, bits.width, row.data());
    mask.runs.insert(mask.runs.end(), static_cast<const Run*>(row.data()), end);
    if (mask.runs.size() > most) return std::nullopt;
    mask.row_offsets.push_back(static_cast<std::int64_t>(mask.runs.size()));
  }
  return mask;
}

RunLabels label_runs(const RunMask& mask, Connectivity connectivity) {
  require_argument(mask.runs.size() < (1ULL << 31), "mask has ", mask.runs.size(), " runs; at most 2^31 - 1");
  DisjointRuns sets(mask.runs.size());
  std::vector<std::int32_t> rings;
  for_each_contact(mask, connectivity == Connectivity::kEight ? 1 : 0,
                   [&](std::int32_t run, std::int32_t neighbour, bool is_first) {
                     if (is_first) {
                       sets.adopt(run, neighbour);
                     } else if (!sets.join(run, neighbour)) {
                       rings.push_back(run);
                     }
                   });
  RunLabels labels = std::move(sets).number();
  labels.rings = std::move(rings);
  return labels;
}

std::vector<std::uint8_t> find_holed(const RunLabels& labels) {
  std::vector<std::uint8_t> holed(static_cast<std::size_t>(labels.count), 0);
  for (const std::int32_t run : labels.rings) {
    holed[static_cast<std::size_t>(labels.labels[static_cast<std::size_t>(run)])] = 1;
  }
  return holed;
}

RunMask fill_run_holes(const RunMask& mask) {
  const RunMask background = complement(mask);
  const RunLabels regions = label_runs(background, Connectivity::kFour);
  std::vector<std::uint8_t> outside(static_cast<std::size_t>(regions.count), 0);
  for (std::int64_t y = 0; y < mask.height; ++y) {
    const bool border_row = y == 0 || y == mask.height - 1;
    for (const Run* run = background.begin_of(y); run != background.end_of(y); ++run) {
      if (border_row || run->begin == 0 || run->end == mask.width) {
        outside[static_cast<std::size_t>(regions.labels[static_cast<std::size_t>(run - background.runs.data())])] = 1;
      }
    }
  }
  return complement(select_components(background, regions, outside));
}

RunMask select_components(const RunMask& mask, const RunLabels& labels, const std::vector<std::uint8_t>& keep) {
  RunMask result{mask.height, mask.width, {}, {0}};
  for (std::int64_t y = 0; y < mask.height; ++y) {
    for (const Run* run = mask.begin_of(y); run != mask.end_of(y); ++run) {
      const auto label = labels.labels[static_cast<std::size_t>(run - mask.runs.data())];
      if (keep[static_cast<std::size_t>(label)]) result.runs.push_back(*run);
    }
    result.row_offsets.push_back(static_cast<std::int64_t>(result.runs.size()));
  }
  return result;
}

void lay_over(RunMask& mask, RunLabels& labels, const RunMask& filled) {
  const RunLabels filled_labels = label_runs(filled, Connectivity::kEight);
  RunMask result{mask.height, mask.width, {}, {0}};
  result.runs.reserve(mask.runs.size());
  result.row_offsets.reserve(mask.row_offsets.size());
  std::vector<std::int32_t> old_labels;  // those of `filled` come behind those of `mask`
  old_labels.reserve(mask.runs.size());
  for (std::int64_t y = 0; y < mask.height; ++y) {
    const Run* fill = filled.begin_of(y);
    const auto add_fill = [&] {
      old_labels.push_back(labels.count + filled_labels.labels[static_cast<std::size_t>(fill - filled.runs.data())]);
      result.runs.push_back(*fill++);
    };
    std::int32_t covered = 0;  // the last filled run's end
    for (const Run* run = mask.begin_of(y); run != mask.end_of(y); ++run) {
      while (fill != filled.end_of(y) && fill->begin <= run->begin) {
        covered = fill->end;
        add_fill();
      }
      if (run->begin < covered) continue;
      old_labels.push_back(labels.labels[static_cast<std::size_t>(run - mask.runs.data())]);
      result.runs.push_back(*run);
    }
    while (fill != filled.end_of(y)) add_fill();
    result.row_offsets.push_back(static_cast<std::int64_t>(result.runs.size()));
  }
  // Numbered anew, by first run.
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(labels.count + filled_labels.count), -1);
  labels = {std::move(old_labels), 0, {}};
  for (std::int32_t& label : labels.labels) {
    std::int32_t& number = numbers[static_cast<std::size_t>(label)];
    if (number < 0) number = labels.count++;
    label = number;
  }
  mask = std::move(result);
}

BitMask::BitMask(std::int64_t height, std::int64_t width)
    : row_words_((width + 2 + 63) / 64), words_(static_cast<std::size_t>((height + 2) * row_words_), 0) {}

}  // namespace lcx
