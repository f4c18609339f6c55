// A label map is almost all background, so it is read as bytes, block by block, at memory speed. A block that holds
// something holds one lesion as a rule and is counted as a whole; only where there are more of them are pixels looked
// at one by one, and counted by stretches of equal ones.

#include "evaluation/lesion_points.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "core/error.hpp"
#include "core/parallel_for.hpp"
#include "core/simd.hpp"

namespace lcx {
namespace {

// A multiple of every label's size.
constexpr std::int64_t kBlockBytes = 512;

// Blocks flagged at a time: what is not background is still in the cache when it is counted.
constexpr std::int64_t kFlagged = 512;
// A page ends soon, and a read at the start of the next one waits: several places are read in turn.
constexpr std::int64_t kStreams = 4;

// flags[b] = whether block b holds anything but zeros.
LCX_SIMD_CLONES void flag_blocks(const std::uint8_t* bytes, std::int64_t blocks, std::uint8_t* flags) {
  const std::int64_t part = blocks / kStreams;
  for (std::int64_t i = 0; i < blocks; ++i) {
    const std::int64_t block = i < kStreams * part ? i % kStreams * part + i / kStreams : i;
    const std::uint8_t* at = bytes + block * kBlockBytes;
    std::uint8_t any = 0;
    for (std::int64_t k = 0; k < kBlockBytes; ++k) any |= at[k];
    flags[block] = any;
  }
}

// Number of a block's pixels that have its highest label, 0 where it holds another label above 0, too.
#define LCX_COUNT_ONE_LABEL(T, Count)                                                      \
  LCX_SIMD_CLONES std::int64_t count_one_label(const T* values, T& label) {                \
    constexpr auto kPixels = kBlockBytes / static_cast<std::int64_t>(sizeof(T));           \
    T most = 0;                                                                            \
    for (std::int64_t i = 0; i < kPixels; ++i) most = values[i] > most ? values[i] : most; \
    Count pixels = 0;                                                                      \
    Count others = 0;                                                                      \
    for (std::int64_t i = 0; i < kPixels; ++i) {                                           \
      const Count is_most = values[i] == most ? 1 : 0;                                     \
      const Count is_lesion = values[i] > 0 ? 1 : 0;                                       \
      pixels = static_cast<Count>(pixels + is_most);                                       \
      others = static_cast<Count>(others | (is_most ^ is_lesion));                         \
    }                                                                                      \
    label = most;                                                                          \
    return others == 0 ? static_cast<std::int64_t>(pixels) : 0;                            \
  }
LCX_COUNT_ONE_LABEL(std::int8_t, std::uint16_t)
LCX_COUNT_ONE_LABEL(std::uint8_t, std::uint16_t)
LCX_COUNT_ONE_LABEL(std::int16_t, std::uint16_t)
LCX_COUNT_ONE_LABEL(std::uint16_t, std::uint16_t)
LCX_COUNT_ONE_LABEL(std::int32_t, std::uint32_t)
LCX_COUNT_ONE_LABEL(std::uint32_t, std::uint32_t)
LCX_COUNT_ONE_LABEL(std::int64_t, std::uint64_t)
LCX_COUNT_ONE_LABEL(std::uint64_t, std::uint64_t)
#undef LCX_COUNT_ONE_LABEL

// Pixels by label: a table for the first numbers, which are all there are as a rule, and a map for the others.
template <typename Label>
class LabelCounter {
 public:
  void add_row(const Label* values, std::int64_t count) {
    constexpr std::int64_t kBlock = kBlockBytes / static_cast<std::int64_t>(sizeof(Label));
    const std::int64_t blocks = count / kBlock;
    std::array<std::uint8_t, kFlagged> flags;
    for (std::int64_t first = 0; first < blocks; first += kFlagged) {
      const std::int64_t flagged = std::min(kFlagged, blocks - first);
      flag_blocks(reinterpret_cast<const std::uint8_t*>(values + first * kBlock), flagged, flags.data());
      for (std::int64_t i = 0; i < flagged; ++i) {
        if (flags[static_cast<std::size_t>(i)] != 0) add_block(values + (first + i) * kBlock, kBlock);
      }
    }
    add(values + blocks * kBlock, count - blocks * kBlock);
  }

  // Calls visit(label, pixels) for each label above 0 that occurs, ascending.
  template <typename Visit>
  void for_each(const Visit& visit) {
    flush();
    for (std::size_t label = 1; label <= highest_low_; ++label) {
      if (low_[label] > 0) visit(static_cast<Label>(label), low_[label]);
    }
    for (const auto& [label, pixels] : high_) visit(label, pixels);
  }

 private:
  static constexpr std::size_t kLow = 128;  // holds every label of 8 signed bits

  void add(const Label* values, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      if (values[i] != label_) {
        flush();
        label_ = values[i];
      }
      ++pixels_;
    }
  }

  void add_block(const Label* values, std::int64_t count) {
    Label label = 0;
    const std::int64_t pixels = count_one_label(values, label);
    if (pixels == 0) return add(values, count);
    if (label != label_) {
      flush();
      label_ = label;
    }
    pixels_ += pixels;
  }

  void flush() {
    if (label_ > 0 && static_cast<std::uint64_t>(label_) < kLow) {
      low_[static_cast<std::size_t>(label_)] += pixels_;
      highest_low_ = std::max(highest_low_, static_cast<std::size_t>(label_));
    } else if (label_ > 0 && pixels_ > 0) {
      high_[label_] += pixels_;
    }
    pixels_ = 0;
  }

  Label label_ = 0;
  std::int64_t pixels_ = 0;
  std::array<std::int64_t, kLow> low_{};
  std::size_t highest_low_ = 0;
  std::map<Label, std::int64_t> high_;
};

template <typename Label>
LabelCounter<Label> count_labels(TensorView<const Label, 2> labels) {
  LabelCounter<Label> counter;
  const auto [height, width] = labels.shape;
  if (labels.has_dense_rows() && labels.strides[0] == width) {
    counter.add_row(labels.data, height * width);
    return counter;
  }
  std::vector<Label> copy(labels.has_dense_rows() ? 0 : static_cast<std::size_t>(width));
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < copy.size(); ++x) copy[x] = labels(y, x);
    counter.add_row(copy.empty() ? labels.row(y) : copy.data(), width);
  }
  return counter;
}

// The label under a point, 0 outside.
template <typename Label>
Label label_at(TensorView<const Label, 2> labels, double y, double x) {
  const bool inside = y >= 0 && x >= 0 && y < static_cast<double>(labels.shape[0]) &&
                      x < static_cast<double>(labels.shape[1]);  // false for NaN
  return inside ? labels(static_cast<std::int64_t>(y), static_cast<std::int64_t>(x)) : Label{0};
}

// Indices of points first .. first + count - 1 by descending score.
std::vector<std::int64_t> best_first(TensorView<const double, 1> scores, std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), first);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return scores(a) > scores(b) || (std::isnan(scores(b)) && !std::isnan(scores(a)));
  });
  return order;
}

template <typename Label>
LesionPoints compare_image(TensorView<const double, 2> points, TensorView<const double, 1> scores, std::int64_t first,
                           std::int64_t count, TensorView<const Label, 2> labels) {
  LesionPoints result;
  std::vector<Label> numbers;
  auto counter = count_labels(labels);
  counter.for_each([&](Label label, std::int64_t pixels) {
    numbers.push_back(label);
    result.areas.push_back(pixels);
  });
  result.scores.reserve(static_cast<std::size_t>(count));
  result.lesion.reserve(static_cast<std::size_t>(count));
  for (const std::int64_t i : best_first(scores, first, count)) {
    result.scores.push_back(scores(i));
    const Label label = label_at(labels, points(i, 0), points(i, 1));
    const auto at = std::lower_bound(numbers.begin(), numbers.end(), label);
    result.lesion.push_back(label > 0 ? at - numbers.begin() : -1);
  }
  return result;
}

}  // namespace

std::vector<LesionPoints> compare_points(TensorView<const double, 2> points, TensorView<const double, 1> scores,
                                         std::span<const std::int64_t> counts, std::span<const LabelMap> labels,
                                         int threads) {
  std::vector<std::int64_t> first(counts.size() + 1);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    require_argument(counts[i] >= 0, "image ", i, " has ", counts[i], " points; needed: 0 or more");
    first[i + 1] = first[i] + counts[i];
  }
  require_argument(points.shape[1] == 2 && points.shape[0] == scores.shape[0] && first.back() == scores.shape[0],
                   "points are ", shape_text(points.shape), ", scores ", shape_text(scores.shape), ", and the images' ",
                   "points add up to ", first.back(), "; needed: (y, x) and one score for each");
  require_argument(counts.size() == labels.size(), "points of ", counts.size(), " images, outlines of ", labels.size(),
                   "; needed: equally many");
  std::vector<LesionPoints> results(labels.size());
  const auto images = static_cast<std::int64_t>(labels.size());
  parallel_for(images, 64, threads, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      std::visit([&](const auto& map) { results[i] = compare_image(points, scores, first[i], counts[i], map); },
                 labels[i]);
    }
  });
  return results;
}

}  // namespace lcx
