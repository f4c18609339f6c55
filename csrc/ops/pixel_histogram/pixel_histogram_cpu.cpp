// One increment a pixel. Neighbouring pixels often have the same score, and an increment that must wait for the
// one before it to reach memory takes several times as long; so four neighbours count in four tables.

#include <algorithm>
#include <array>
#include <mutex>
#include <vector>

#include "core/parallel_for.hpp"
#include "ops/pixel_histogram/pixel_histogram.hpp"

namespace lcx::cpu {
namespace {

constexpr std::int64_t kTables = 4;
constexpr std::int64_t kCells = 2 * kScoreBins;
// Below this, adding the tables up would cost more than counting.
constexpr std::int64_t kSmall = 1 << 17;
// A table's counts of 32 bits cannot overflow within a block.
constexpr std::int64_t kBlock = std::int64_t{1} << 31;

std::size_t cell_of(std::uint16_t score, std::uint8_t label) {
  return static_cast<std::size_t>(score) + (label != 0 ? static_cast<std::size_t>(kScoreBins) : 0);
}

void count_dense(const std::uint16_t* scores, const std::uint8_t* labels, std::int64_t count, std::uint32_t* tables) {
  std::int64_t i = 0;
  for (; i + kTables <= count; i += kTables) {
    for (std::int64_t t = 0; t < kTables; ++t)
      ++tables[t * kCells + static_cast<std::int64_t>(cell_of(scores[i + t], labels[i + t]))];
  }
  for (; i < count; ++i) ++tables[cell_of(scores[i], labels[i])];
}

}  // namespace

void pixel_histogram(TensorView<const std::uint16_t, 1> scores, TensorView<const std::uint8_t, 1> labels,
                     TensorView<std::int64_t, 2> counts, int threads) {
  const std::int64_t size = scores.shape[0];
  if (size < kSmall || !scores.has_dense_rows() || !labels.has_dense_rows()) {
    for (std::int64_t i = 0; i < size; ++i) ++counts.data[cell_of(scores(i), labels(i))];
    return;
  }
  std::mutex mutex;
  parallel_for(size, 1 << 20, threads, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint32_t> tables(static_cast<std::size_t>(kTables * kCells));
    for (std::int64_t at = begin; at < end; at += kBlock) {
      const std::int64_t length = std::min(kBlock, end - at);
      std::fill(tables.begin(), tables.end(), 0U);
      count_dense(scores.data + at, labels.data + at, length, tables.data());
      const std::lock_guard lock(mutex);
      for (std::int64_t t = 0; t < kTables; ++t) {
        for (std::int64_t i = 0; i < kCells; ++i) counts.data[i] += tables[static_cast<std::size_t>(t * kCells + i)];
      }
    }
  });
}

}  // namespace lcx::cpu
