// Note [Ranking scores]
// A score becomes an unsigned key in the same order (the sign bit turned over, and of negative numbers the others
// too). Its upper 16 bits choose a bin. Within a bin 16 bits are left to sort by, so there is room for the label as
// the lowest bit, and a bin, a few thousand scores as a rule, is sorted by two digits within the cache and walked at
// once. So a score is read twice, written once, and never meets a comparison.

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/parallel_for.hpp"
#include "ops/pixel_curve/pixel_curve.hpp"

namespace lcx::cpu {
namespace {

constexpr std::uint32_t kSign = 0x80000000U;
constexpr std::size_t kBins = 65536;

std::uint32_t key_of(float score) {
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);  // -0 + 0 is +0
  return bits ^ (static_cast<std::uint32_t>(static_cast<std::int32_t>(bits) >> 31) | kSign);
}

float score_of(std::uint32_t key) { return std::bit_cast<float>((key & kSign) != 0 ? key & ~kSign : ~key); }

// Number and positives of each bin, of one part of the scores.
struct BinCounts {
  std::vector<std::uint32_t> of_label = std::vector<std::uint32_t>(2 * kBins);
  bool has_nan = false;
};

// The scores by bin: values[i] = lower 16 bits of the key and the label.
struct Binned {
  std::unique_ptr<std::uint32_t[]> values;
  std::vector<std::int64_t> begin = std::vector<std::int64_t>(kBins + 1);
  std::vector<std::int64_t> positives_below = std::vector<std::int64_t>(kBins + 1);
};

BinCounts count_part(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels, std::int64_t begin,
                     std::int64_t end) {
  BinCounts counts;
  bool nan = false;
  for (std::int64_t i = begin; i < end; ++i) {
    const float score = scores(i);
    nan |= score != score;
    const std::size_t label = labels(i) != 0 ? kBins : 0;
    ++counts.of_label[label + (key_of(score) >> 16)];
  }
  counts.has_nan = nan;
  return counts;
}

Binned bin_scores(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels, int threads) {
  const std::int64_t size = scores.shape[0];
  const std::int64_t most = threads > 0 ? threads : available_cpus();
  const std::int64_t parts = std::clamp<std::int64_t>(size >> 20, 1, most);
  std::vector<BinCounts> counts(static_cast<std::size_t>(parts));
  const auto each_part = [&](const auto& work) {
    parallel_for(parts, 1, static_cast<int>(parts), [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t part = first; part < last; ++part) {
        work(static_cast<std::size_t>(part), size * part / parts, size * (part + 1) / parts);
      }
    });
  };
  each_part([&](std::size_t part, std::int64_t begin, std::int64_t end) {
    counts[part] = count_part(scores, labels, begin, end);
  });
  require_argument(std::none_of(counts.begin(), counts.end(), [](const BinCounts& c) { return c.has_nan; }),
                   "scores hold NaN; remove or replace those pixels first");

  Binned binned;
  std::int64_t total = 0;
  std::int64_t positives = 0;
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    binned.begin[bin] = total;
    binned.positives_below[bin] = positives;
    for (auto& part : counts) {
      const std::uint32_t positive = part.of_label[kBins + bin];
      const std::uint32_t both = part.of_label[bin] + positive;
      part.of_label[bin] = static_cast<std::uint32_t>(total);  // from here on: where the next one goes
      total += both;
      positives += positive;
    }
  }
  binned.begin[kBins] = total;
  binned.positives_below[kBins] = positives;
  binned.values.reset(new std::uint32_t[static_cast<std::size_t>(size)]);
  each_part([&](std::size_t part, std::int64_t begin, std::int64_t end) {
    auto& next = counts[part].of_label;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::uint32_t key = key_of(scores(i));
      binned.values[next[key >> 16]++] = ((key & 0xFFFFU) << 1) | (labels(i) != 0 ? 1U : 0U);
    }
  });
  return binned;
}

// Sorts numbers of 17 bits by their lower 9 and upper 8, by way of `buffer`.
void sort_bin(std::uint32_t* values, std::int64_t count, std::vector<std::uint32_t>& buffer) {
  constexpr std::int64_t kSmall = 256;
  constexpr int kLowBits = 9;
  constexpr std::uint32_t kLowMask = (1U << kLowBits) - 1;
  if (count < kSmall) {
    std::sort(values, values + count);
    return;
  }
  std::array<std::uint32_t, kLowMask + 1> low{};
  std::array<std::uint32_t, 256> high{};
  for (std::int64_t i = 0; i < count; ++i) {
    ++low[values[i] & kLowMask];
    ++high[values[i] >> kLowBits];
  }
  const auto to_places = [](auto& counters) {
    std::uint32_t total = 0;
    for (auto& counter : counters) total += std::exchange(counter, total);
  };
  to_places(low);
  to_places(high);
  if (buffer.size() < static_cast<std::size_t>(count)) buffer.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) buffer[low[values[i] & kLowMask]++] = values[i];
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t value = buffer[static_cast<std::size_t>(i)];
    values[high[value >> kLowBits]++] = value;
  }
}

// Calls visit(low key bits, positives, negatives) for each distinct score of a sorted bin, ascending.
template <typename Visit>
void for_each_score(const std::uint32_t* values, std::int64_t count, const Visit& visit) {
  for (std::int64_t i = 0; i < count;) {
    const std::uint32_t low = values[i] >> 1;
    const std::int64_t first = i;
    std::int64_t positives = 0;
    for (; i < count && values[i] >> 1 == low; ++i) positives += values[i] & 1;
    visit(low, positives, i - first - positives);
  }
}

// Calls work(bin, its sorted values, their number) for each bin that has any; bins of one thread in ascending order.
template <typename Work>
void for_each_bin(Binned& binned, int threads, const Work& work) {
  // Threads share the bins by what is in them, not by number: most scores may lie in a few.
  const std::int64_t size = binned.begin[kBins];
  parallel_for(size, 1 << 20, threads, [&](std::int64_t first, std::int64_t last) {
    std::vector<std::uint32_t> buffer;
    const auto at = std::lower_bound(binned.begin.begin(), binned.begin.end() - 1, first);
    for (auto bin = static_cast<std::size_t>(at - binned.begin.begin()); bin < kBins && binned.begin[bin] < last;
         ++bin) {
      const std::int64_t count = binned.begin[bin + 1] - binned.begin[bin];
      if (count == 0) continue;
      std::uint32_t* values = binned.values.get() + binned.begin[bin];
      sort_bin(values, count, buffer);
      work(bin, values, count);
    }
  });
}

// What the areas are made of, summed over distinct scores, ascending.
class AreaSums {
 public:
  AreaSums() = default;
  AreaSums(std::int64_t positives_above, std::int64_t negatives_below, std::int64_t negatives)
      : positives_left_(positives_above), negatives_below_(negatives_below), negatives_(negatives) {}

  void add(std::int64_t positive, std::int64_t negative) {
    // Twice the area, so that a tie's half is whole: exact, and 128 bits hold the product of any two counts.
    twice_area_ +=
        static_cast<unsigned __int128>(positive) * static_cast<std::uint64_t>(2 * negatives_below_ + negative);
    const std::int64_t kept = positives_left_ + negatives_ - negatives_below_;
    precision_sum_ += static_cast<double>(positive) * static_cast<double>(positives_left_) / static_cast<double>(kept);
    positives_left_ -= positive;
    negatives_below_ += negative;
  }

  void add(const AreaSums& other) {
    twice_area_ += other.twice_area_;
    precision_sum_ += other.precision_sum_;
  }

  RankAreas areas(std::int64_t positives, std::int64_t negatives) const {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    const double pairs = 2.0 * static_cast<double>(positives) * static_cast<double>(negatives);
    return {pairs > 0.0 ? static_cast<double>(twice_area_) / pairs : kNone,
            positives > 0 ? precision_sum_ / static_cast<double>(positives) : kNone};
  }

 private:
  std::int64_t positives_left_ = 0;  // scoring at least as much as the next score
  std::int64_t negatives_below_ = 0;
  std::int64_t negatives_ = 0;
  unsigned __int128 twice_area_ = 0;
  double precision_sum_ = 0.0;
};

}  // namespace

RankAreas rank_areas(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels, int threads) {
  Binned binned = bin_scores(scores, labels, threads);
  const std::int64_t positives = binned.positives_below[kBins];
  const std::int64_t negatives = scores.shape[0] - positives;
  // A sum for each bin, added up in their order afterwards: the same bits for any number of threads.
  std::vector<AreaSums> of_bin(kBins);
  for_each_bin(binned, threads, [&](std::size_t bin, const std::uint32_t* values, std::int64_t count) {
    const std::int64_t below = binned.positives_below[bin];
    AreaSums sums(positives - below, binned.begin[bin] - below, negatives);
    for_each_score(values, count, [&](std::uint32_t, std::int64_t p, std::int64_t n) { sums.add(p, n); });
    of_bin[bin] = sums;
  });
  AreaSums total;
  for (const auto& sums : of_bin) total.add(sums);
  return total.areas(positives, negatives);
}

ScoreCounts count_scores(TensorView<const float, 1> scores, TensorView<const std::uint8_t, 1> labels, int threads) {
  Binned binned = bin_scores(scores, labels, threads);
  ScoreCounts counts;
  for_each_bin(binned, 1, [&](std::size_t bin, const std::uint32_t* values, std::int64_t count) {
    for_each_score(values, count, [&](std::uint32_t low, std::int64_t p, std::int64_t n) {
      counts.scores.push_back(score_of(static_cast<std::uint32_t>(bin << 16) | low));
      counts.positives.push_back(p);
      counts.negatives.push_back(n);
    });
  });
  return counts;
}

RankAreas count_areas(TensorView<const std::int64_t, 1> positives, TensorView<const std::int64_t, 1> negatives) {
  std::int64_t positive_count = 0;
  std::int64_t negative_count = 0;
  for (std::int64_t i = 0; i < positives.shape[0]; ++i) {
    positive_count += positives(i);
    negative_count += negatives(i);
  }
  AreaSums sums(positive_count, 0, negative_count);
  for (std::int64_t i = 0; i < positives.shape[0]; ++i) {
    if (positives(i) + negatives(i) > 0) sums.add(positives(i), negatives(i));
  }
  return sums.areas(positive_count, negative_count);
}

}  // namespace lcx::cpu
