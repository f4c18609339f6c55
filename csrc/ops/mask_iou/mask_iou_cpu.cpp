// Binary masks are packed to bits and intersected a few kilobytes of every mask at a time, so that the words of all
// masks stay in the cache while each meets each. Run-length masks are filtered by their boxes, then walked side by
// side.

#include <algorithm>
#include <bit>
#include <vector>

#include "core/bit_pack.hpp"
#include "core/error.hpp"
#include "core/parallel_for.hpp"
#include "core/simd.hpp"
#include "ops/mask_iou/mask_iou.hpp"
#include "ops/mask_iou/mask_iou_impl.hpp"

namespace lcx::cpu {
namespace {

constexpr std::int64_t kBlockWords = 512;
constexpr std::int64_t kPixelsPerThread = 1 << 20;
constexpr std::int64_t kPairsPerThread = 1 << 14;

LCX_SIMD_CLONES std::int64_t count_both(const std::uint64_t* a, const std::uint64_t* b, std::int64_t count) {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += std::popcount(a[i] & b[i]);
  return sum;
}

struct PackedMasks {
  std::int64_t words = 0;           // per mask
  std::vector<std::uint64_t> bits;  // [N, words]
  std::vector<std::int64_t> area;   // [N]
  std::vector<std::int64_t> begin;  // [N] first word that is not 0, and one past the last
  std::vector<std::int64_t> end;

  const std::uint64_t* mask(std::int64_t i) const { return bits.data() + i * words; }
};

PackedMasks pack(TensorView<const std::uint8_t, 2> masks, int threads) {
  const auto count = static_cast<std::size_t>(masks.shape[0]);
  PackedMasks packed;
  packed.words = (masks.shape[1] + 63) / 64;
  packed.bits.resize(count * static_cast<std::size_t>(packed.words));
  packed.area.resize(count);
  packed.begin.resize(count);
  packed.end.resize(count);
  const std::int64_t grain = kPixelsPerThread / std::max<std::int64_t>(masks.shape[1], 1) + 1;
  parallel_for(masks.shape[0], grain, threads, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      std::uint64_t* words = packed.bits.data() + i * packed.words;
      pack_bits(masks.row(i), masks.shape[1], masks.strides[1], words);
      const auto at = static_cast<std::size_t>(i);
      packed.area[at] = count_both(words, words, packed.words);
      std::int64_t begin = 0;
      std::int64_t end = packed.words;
      while (begin < end && words[begin] == 0) ++begin;
      while (end > begin && words[end - 1] == 0) --end;
      packed.begin[at] = begin;
      packed.end[at] = end;
    }
  });
  return packed;
}

// Adds to `both` [G] what mask d of `p` and each of `q` share within words [begin, end).
void add_shared(const PackedMasks& p, std::int64_t d, const PackedMasks& q, std::int64_t begin, std::int64_t end,
                std::int64_t* both) {
  begin = std::max(begin, p.begin[static_cast<std::size_t>(d)]);
  end = std::min(end, p.end[static_cast<std::size_t>(d)]);
  if (begin >= end) return;
  for (std::size_t g = 0; g < q.area.size(); ++g) {
    const std::int64_t from = std::max(begin, q.begin[g]);
    const std::int64_t to = std::min(end, q.end[g]);
    if (from < to) both[g] += count_both(p.mask(d) + from, q.mask(static_cast<std::int64_t>(g)) + from, to - from);
  }
}

}  // namespace

void mask_iou(TensorView<const std::uint8_t, 2> predicted, TensorView<const std::uint8_t, 2> reference,
              TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, int threads) {
  const PackedMasks p = pack(predicted, threads);
  const PackedMasks q = pack(reference, threads);
  const auto [detections, references] = iou.shape;
  const std::int64_t grain = kPixelsPerThread / std::max<std::int64_t>(p.words * references, 1) + 1;
  parallel_for(detections, grain, threads, [&, references = references](std::int64_t first, std::int64_t last) {
    std::vector<std::int64_t> both(static_cast<std::size_t>((last - first) * references), 0);
    for (std::int64_t begin = 0; begin < p.words; begin += kBlockWords) {
      const std::int64_t end = std::min(begin + kBlockWords, p.words);
      for (std::int64_t d = first; d < last; ++d) {
        add_shared(p, d, q, begin, end, both.data() + (d - first) * references);
      }
    }
    for (std::int64_t d = first; d < last; ++d) {
      for (std::int64_t g = 0; g < references; ++g) {
        iou(d, g) = overlap_of_counts(both[static_cast<std::size_t>((d - first) * references + g)],
                                      p.area[static_cast<std::size_t>(d)], q.area[static_cast<std::size_t>(g)],
                                      crowd.data != nullptr && crowd(g) != 0);
      }
    }
  });
}

namespace {

struct MeasuredMasks {
  std::vector<PixelBox> boxes;
  std::vector<std::int64_t> areas;

  explicit MeasuredMasks(std::span<const ColumnRunsView> masks) {
    for (const ColumnRunsView& mask : masks) {
      boxes.push_back(bounding_box(mask));
      areas.push_back(area(mask));
    }
  }
};

}  // namespace

void mask_iou(std::span<const ColumnRunsView> predicted, std::span<const ColumnRunsView> reference,
              TensorView<const std::uint8_t, 1> crowd, TensorView<double, 2> iou, int threads) {
  const MeasuredMasks p(predicted);
  const MeasuredMasks q(reference);
  const std::int64_t grain = kPairsPerThread / std::max<std::int64_t>(iou.shape[1], 1) + 1;
  parallel_for(iou.shape[0], grain, threads, [&](std::int64_t first, std::int64_t last) {
    for (auto d = static_cast<std::size_t>(first); d < static_cast<std::size_t>(last); ++d) {
      const ColumnRunsView& a = predicted[d];
      const PixelBox& a_box = p.boxes[d];
      for (std::size_t g = 0; g < reference.size(); ++g) {
        const ColumnRunsView& b = reference[g];
        const PixelBox& b_box = q.boxes[g];
        require_argument(a.height == b.height && a.width == b.width, "predicted mask ", d, " is ", a.height, " x ",
                         a.width, " pixels, reference mask ", g, " ", b.height, " x ", b.width, "; must be equal");
        std::int64_t both = 0;
        const std::array<std::int64_t, 2> columns{std::max(a_box.x0, b_box.x0), std::min(a_box.x1, b_box.x1)};
        if (columns[0] < columns[1] && std::max(a_box.y0, b_box.y0) < std::min(a_box.y1, b_box.y1)) {
          both = intersection_area(a, b, columns);
        }
        const auto column = static_cast<std::int64_t>(g);
        iou(static_cast<std::int64_t>(d), column) =
            overlap_of_counts(both, p.areas[d], q.areas[g], crowd.data != nullptr && crowd(column) != 0);
      }
    }
  });
}

}  // namespace lcx::cpu
