#include "core/run_mask.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "core/bit_pack.hpp"
#include "core/error.hpp"
#include "core/parallel_for.hpp"
#include "core/threshold_bits.hpp"

namespace lcx {
namespace {

constexpr std::int64_t kRowsPerTask = 64;
// Pixels worth a thread of their own: some 0.1 ms of work, several times what starting a thread costs.
constexpr std::int64_t kPixelsPerThread = 1 << 20;

void append_runs(const std::vector<std::uint64_t>& words, std::int64_t width, std::vector<Run>& runs) {
  const auto limit = static_cast<std::int32_t>(width);
  bool open = false;
  std::int32_t begin = 0;
  for (std::size_t k = 0; k < words.size(); ++k) {
    const std::uint64_t word = words[k];
    if (word == (open ? ~std::uint64_t{0} : 0)) continue;
    const auto base = static_cast<std::int32_t>(64 * k);
    // Transitions: bits that differ from the bit before them.
    std::uint64_t edges = word ^ ((word << 1) | (open ? 1U : 0U));
    while (edges) {
      const std::int32_t at = base + std::countr_zero(edges);
      edges &= edges - 1;
      if (open) {
        runs.push_back({begin, at});
      } else {
        begin = at;
      }
      open = !open;
    }
  }
  if (open) runs.push_back({begin, limit});
}

// bits_of_row(values, count, words) turns a dense row into bits.
template <typename T, typename BitsOfRow>
RunMask encode(TensorView<const T, 2> values, const BitsOfRow& bits_of_row, int threads) {
  RunMask mask;
  mask.height = values.shape[0];
  mask.width = values.shape[1];
  require_argument(mask.width < (1LL << 31) - 64, "width ", mask.width, "; at most 2^31 - 65");
  mask.row_offsets.assign(static_cast<std::size_t>(mask.height) + 1, 0);
  const std::int64_t tasks = (mask.height + kRowsPerTask - 1) / kRowsPerTask;
  std::vector<std::vector<Run>> parts(static_cast<std::size_t>(tasks));
  const std::int64_t grain = kPixelsPerThread / (kRowsPerTask * std::max<std::int64_t>(mask.width, 1)) + 1;
  parallel_for(tasks, grain, threads, [&](std::int64_t first, std::int64_t last) {
    std::vector<std::uint64_t> words(static_cast<std::size_t>((mask.width + 63) / 64));
    std::vector<T> gathered(values.has_dense_rows() ? 0 : static_cast<std::size_t>(mask.width));
    // One thread's runs lie behind one another, so that they need no gathering where there is no other thread.
    auto& runs = parts[static_cast<std::size_t>(first)];
    for (std::int64_t y = first * kRowsPerTask; y < std::min(last * kRowsPerTask, mask.height); ++y) {
      const T* row = values.row(y);
      if (!values.has_dense_rows()) {
        for (std::int64_t x = 0; x < mask.width; ++x) gathered[static_cast<std::size_t>(x)] = values(y, x);
        row = gathered.data();
      }
      const std::size_t before = runs.size();
      bits_of_row(row, mask.width, words.data());
      append_runs(words, mask.width, runs);
      mask.row_offsets[static_cast<std::size_t>(y) + 1] = static_cast<std::int64_t>(runs.size() - before);
    }
  });
  std::partial_sum(mask.row_offsets.begin(), mask.row_offsets.end(), mask.row_offsets.begin());
  if (!parts.empty()) mask.runs = std::move(parts.front());
  mask.runs.reserve(static_cast<std::size_t>(mask.row_offsets.back()));
  for (std::size_t k = 1; k < parts.size(); ++k) mask.runs.insert(mask.runs.end(), parts[k].begin(), parts[k].end());
  return mask;
}

// Union-find over runs. A parent is never a later run than its child, so roots are their component's first run and
// one pass in order resolves everybody.
class DisjointRuns {
 public:
  explicit DisjointRuns(std::size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0); }

  /// The first neighbour of a run that has none yet.
  void adopt(std::int32_t run, std::int32_t neighbour) { parent(run) = find(neighbour); }

  void join(std::int32_t run, std::int32_t neighbour) {
    const std::int32_t a = find(run);
    const std::int32_t b = find(neighbour);
    parent(std::max(a, b)) = std::min(a, b);
  }

  /// Turns parents into component numbers 0, 1, ... by first run.
  RunLabels number() && {
    RunLabels result{std::move(parent_), 0};
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

// Joins the runs of neighbouring rows that touch. `reach` is 1 where diagonals count.
void join_rows(const RunMask& mask, std::int32_t reach, DisjointRuns& sets) {
  const Run* origin = mask.runs.data();
  for (std::int64_t y = 1; y < mask.height; ++y) {
    const Run* above = mask.begin_of(y - 1);
    const Run* above_end = mask.end_of(y - 1);
    for (const Run* run = mask.begin_of(y); run != mask.end_of(y); ++run) {
      while (above != above_end && above->end + reach <= run->begin) ++above;
      const Run* at = above;
      for (; at != above_end && at->begin < run->end + reach; ++at) {
        const auto own = static_cast<std::int32_t>(run - origin);
        const auto neighbour = static_cast<std::int32_t>(at - origin);
        if (at == above) {
          sets.adopt(own, neighbour);
        } else {
          sets.join(own, neighbour);
        }
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

RunMask encode_at_least(TensorView<const float, 2> values, float level, int threads) {
  return encode(
      values,
      [level](const float* row, std::int64_t count, std::uint64_t* words) { bits_at_least(row, level, count, words); },
      threads);
}

RunMask encode_at_least(TensorView<const Half, 2> values, float level, int threads) {
  return encode(
      values,
      [level](const Half* row, std::int64_t count, std::uint64_t* words) { bits_at_least(row, level, count, words); },
      threads);
}

RunMask encode_at_least(TensorView<const std::uint8_t, 2> values, float level, int threads) {
  int least = 0;
  while (least < 256 && !(probability_of(static_cast<std::uint8_t>(least)) >= level)) ++least;
  return encode(
      values,
      [least](const std::uint8_t* row, std::int64_t count, std::uint64_t* words) {
        if (least == 256) {
          std::fill(words, words + (count + 63) / 64, std::uint64_t{0});
        } else {
          bits_at_least(row, static_cast<std::uint8_t>(least), count, words);
        }
      },
      threads);
}

RunMask encode_nonzero(TensorView<const std::uint8_t, 2> mask, int threads) {
  return encode(
      mask, [](const std::uint8_t* row, std::int64_t count, std::uint64_t* words) { pack_bits(row, count, 1, words); },
      threads);
}

RunLabels label_runs(const RunMask& mask, Connectivity connectivity) {
  require_argument(mask.runs.size() < (1ULL << 31), "mask has ", mask.runs.size(), " runs; at most 2^31 - 1");
  DisjointRuns sets(mask.runs.size());
  join_rows(mask, connectivity == Connectivity::kEight ? 1 : 0, sets);
  return std::move(sets).number();
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

BitMask::BitMask(std::int64_t height, std::int64_t width)
    : row_words_((width + 2 + 63) / 64), words_(static_cast<std::size_t>((height + 2) * row_words_), 0) {}

BitMask::BitMask(const RunMask& mask) : BitMask(mask.height, mask.width) {
  for (std::int64_t y = 0; y < mask.height; ++y) {
    for (const Run* run = mask.begin_of(y); run != mask.end_of(y); ++run) set_range(y, run->begin, run->end);
  }
}

void BitMask::set_range(std::int64_t y, std::int64_t begin, std::int64_t end) {
  std::uint64_t* row = words_.data() + (y + 1) * row_words_;
  for (std::int64_t at = begin + 1; at <= end;) {
    const std::int64_t bit = at & 63;
    const std::int64_t count = std::min<std::int64_t>(64 - bit, end + 1 - at);
    const std::uint64_t ones = count == 64 ? ~std::uint64_t{0} : ((std::uint64_t{1} << count) - 1);
    row[at >> 6] |= ones << bit;
    at += count;
  }
}

}  // namespace lcx
