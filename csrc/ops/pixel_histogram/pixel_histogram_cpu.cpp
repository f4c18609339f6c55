// Note [Counting scores]
// One increment a pixel is what this costs, so little else may be done. A block of 64 labels becomes 64 bits. All of a
// block's scores are counted in the table of its most common class, as the labels of a map mostly are all alike; a few
// of the other class are then moved over, one by one. The two tables of 32 bits are small enough for the second-level
// cache, and of many scores for the first. Where a block holds a single score, as a map's background does, it is
// counted at once: increments of one counter wait for each other.

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <vector>

#include "core/bit_pack.hpp"
#include "core/parallel_for.hpp"
#include "ops/pixel_histogram/pixel_histogram.hpp"

namespace lcx::cpu {
namespace {

constexpr std::int64_t kCells = 2 * kScoreBins;
constexpr std::int64_t kBlock = 64;
// Below this, adding a table up would cost more than counting.
constexpr std::int64_t kSmall = 1 << 17;
// Up to this many of a block's scores are moved.
constexpr int kFew = 8;
// A table's counts of 32 bits cannot overflow within so many pixels.
constexpr std::int64_t kMost = std::int64_t{1} << 31;

bool is_one_score(const std::uint16_t* scores) {
  if (scores[0] != scores[kBlock - 1] || scores[0] != scores[kBlock / 2]) return false;  // mostly it ends here
  std::uint16_t differs = 0;
  for (std::int64_t i = 1; i < kBlock; ++i) differs = static_cast<std::uint16_t>(differs | (scores[i] ^ scores[0]));
  return differs == 0;
}

constexpr int kScores = 4;  // of a load

template <typename Counter>
void count_block(const std::uint16_t* scores, Counter* counts) {
  for (std::int64_t i = 0; i < kBlock; i += kScores) {
    std::uint64_t word;
    std::memcpy(&word, scores + i, sizeof(word));
    for (int k = 0; k < kScores; ++k) ++counts[(word >> (16 * k)) & 0xFFFF];
  }
}

template <typename Counter>
void count_mixed(const std::uint16_t* scores, std::uint64_t positive, Counter* counts) {
  for (std::int64_t i = 0; i < kBlock; i += kScores, positive >>= kScores) {
    std::uint64_t word;
    std::memcpy(&word, scores + i, sizeof(word));
    for (int k = 0; k < kScores; ++k) {
      ++counts[((word >> (16 * k)) & 0xFFFF) + ((positive >> k & 1) != 0 ? kScoreBins : 0)];
    }
  }
}

// Moves the scores with a bit set from one class to the other.
template <typename Counter>
void move_scores(const std::uint16_t* scores, std::uint64_t bits, Counter* from, Counter* to) {
  const auto move = [&](Counter number) {
    const std::uint16_t score = scores[std::countr_zero(bits | std::uint64_t{1} << (kBlock - 1))];
    from[score] -= number;
    to[score] += number;
    bits &= bits - 1;
  };
  // How many there are is a coin toss to the branch predictor, so four are moved in any case, or none instead of one.
  for (int k = 0; k < 4; ++k) move(bits != 0 ? 1 : 0);
  while (bits != 0) move(1);
}

// Counts negatives in counts[0 .. 65535] and positives behind them.
template <typename Counter>
void count_dense(const std::uint16_t* scores, const std::uint8_t* labels, std::int64_t count, Counter* counts) {
  Counter* const negatives = counts;
  Counter* const positives = counts + kScoreBins;
  std::int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    const std::uint16_t* const block = scores + i;
    const std::uint64_t positive = pack_word(labels + i);
    const int number = std::popcount(positive);
    if (is_one_score(block)) {
      negatives[*block] += static_cast<Counter>(kBlock - number);
      positives[*block] += static_cast<Counter>(number);
    } else if (number > kFew && number < kBlock - kFew) {
      count_mixed(block, positive, counts);
    } else if (number <= kFew) {
      count_block(block, negatives);
      if (positive != 0) move_scores(block, positive, negatives, positives);
    } else {
      count_block(block, positives);
      if (~positive != 0) move_scores(block, ~positive, positives, negatives);
    }
  }
  for (; i < count; ++i) ++(labels[i] != 0 ? positives : negatives)[scores[i]];
}

}  // namespace

void pixel_histogram(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                     TensorView<std::int64_t, 2> counts, int threads) {
  const std::int64_t size = scores.shape[0];
  if (!scores.has_dense_rows() || !labels.has_dense_rows()) {
    for (std::int64_t i = 0; i < size; ++i) ++counts.data[scores(i) + (labels(i) != 0 ? kScoreBins : 0)];
    return;
  }
  if (size < kSmall) return count_dense(scores.data, labels.data, size, counts.data);
  std::mutex mutex;
  parallel_for(size, 1 << 20, threads, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint32_t> table(static_cast<std::size_t>(kCells));
    for (std::int64_t at = begin; at < end; at += kMost) {
      if (at > begin) std::fill(table.begin(), table.end(), 0U);
      count_dense(scores.data + at, labels.data + at, std::min(kMost, end - at), table.data());
      const std::lock_guard lock(mutex);
      for (std::int64_t i = 0; i < kCells; ++i) counts.data[i] += table[static_cast<std::size_t>(i)];
    }
  });
}

}  // namespace lcx::cpu
