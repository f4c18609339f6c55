#include "core/column_runs.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/error.hpp"
#include "core/large_pages.hpp"
#include "core/simd.hpp"

namespace lcx {
namespace {

// Turns counts, one after another, into edges.
class CountReader {
 public:
  CountReader(std::int64_t height, std::int64_t width, std::vector<std::uint32_t>& edges)
      : edges_(edges), first_(edges.size()), total_(static_cast<std::uint64_t>(height * width)) {}

  void add(std::uint64_t count) {
    require_argument(count <= total_ - at_, "counts go beyond the mask's ", total_, " pixels");
    const std::uint64_t end = at_ + count;
    if (foreground_) append_run(edges_, first_, static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(end));
    at_ = end;
    foreground_ = !foreground_;
  }

  void finish() const { require_argument(at_ == total_, "counts sum to ", at_, "; the mask has ", total_, " pixels"); }

 private:
  std::vector<std::uint32_t>& edges_;
  std::size_t first_;
  std::uint64_t total_;
  std::uint64_t at_ = 0;
  bool foreground_ = false;
};

// A count of more than one character, of which the first was at `at` - 1; moves `at` behind it.
std::int64_t long_count(std::string_view text, std::size_t& at, std::size_t number) {
  std::int64_t value = 0;
  unsigned shift = 0;
  unsigned bits = 0;
  --at;
  do {
    require_argument(at < text.size(), "the compressed counts end within count ", number);
    require_argument(shift < 40, "count ", number, " of the compressed counts is too long");
    bits = static_cast<unsigned char>(text[at]) - 48U;
    require_argument(bits < 64, "character ", at, " of the compressed counts is not within '0' and 'o'");
    value |= static_cast<std::int64_t>(bits & 0x1FU) << shift;
    shift += 5;
    ++at;
  } while (bits & 0x20U);
  if (bits & 0x10U) value -= std::int64_t{1} << shift;
  return value;
}

constexpr std::size_t kMostCharacters = 7;  // of a difference of two counts

// Writes a number in as many characters as it takes, and returns their end; eight bytes are overwritten. How many it
// takes is a coin toss to a branch predictor, so there is none: five bits each go to a byte of their own (20, then 10,
// then 5 at a time), and all but the last get the sixth that says that more follow.
inline char* write_count(std::int64_t value, char* to) {
  auto bits = static_cast<std::uint64_t>(value);
  bits = (bits & 0xFFFFFU) | (bits & 0x7FFF00000U) << 12;
  bits = (bits & 0x000003FF000003FFU) | (bits & 0x000FFC00000FFC00U) << 6;
  bits = (bits & 0x001F001F001F001FU) | (bits & 0x03E003E003E003E0U) << 3;
  const auto magnitude = static_cast<std::uint64_t>(value ^ (value >> 63)) | 1U;
  const auto more = static_cast<unsigned>(std::bit_width(magnitude)) / 5;
  const std::uint64_t follows = 0x2020202020202020U & ((std::uint64_t{1} << (8 * more)) - 1);
  bits += 0x3030303030303030U + follows;
  std::memcpy(to, &bits, sizeof(bits));  // little-endian
  return to + more + 1;
}

// Writes the counts that end at edges[3], edges[4], ..., each as its difference to the last but one.
LCX_SIMD_CLONES char* write_counts(std::span<const std::uint32_t> edges, char* to) {
  constexpr std::size_t kBatch = 16;
  std::size_t i = 3;
  for (; i + kBatch <= edges.size(); i += kBatch) {
    std::array<std::int64_t, kBatch> values;
    std::uint64_t large = 0;
    for (std::size_t k = 0; k < kBatch; ++k) {
      const std::uint32_t* const edge = edges.data() + i + k;
      values[k] = std::int64_t{edge[0] - edge[-1]} - std::int64_t{edge[-2] - edge[-3]};
      large |= static_cast<std::uint64_t>(values[k] + 16) & ~std::uint64_t{31};
    }
    if (large == 0) {  // one character each, as in noise
      for (std::size_t k = 0; k < kBatch; ++k) to[k] = static_cast<char>(48 + (values[k] & 0x1F));
      to += kBatch;
    } else {
      for (const std::int64_t value : values) to = write_count(value, to);
    }
  }
  for (; i < edges.size(); ++i) {
    to = write_count(std::int64_t{edges[i] - edges[i - 1]} - std::int64_t{edges[i - 2] - edges[i - 3]}, to);
  }
  return to;
}

// Edges within pixels [begin, end): a pointer range that starts with a stretch's beginning.
std::span<const std::uint32_t> within(std::span<const std::uint32_t> edges, std::int64_t begin, std::int64_t end) {
  const auto first = std::upper_bound(edges.begin(), edges.end(), begin) - edges.begin();
  const auto last = std::lower_bound(edges.begin() + first, edges.end(), end) - edges.begin();
  const auto from = static_cast<std::size_t>(first & ~std::ptrdiff_t{1});
  const auto to = static_cast<std::size_t>((last + 1) & ~std::ptrdiff_t{1});
  return edges.subspan(from, to - from);
}

ColumnRuns merge_two(ColumnRunsView a, ColumnRunsView b, MergeMode mode) {
  ColumnRuns result{a.height, a.width, {}};
  const bool both = mode == MergeMode::kIntersection;
  std::size_t i = 0;
  std::size_t j = 0;
  bool inside = false;
  // An odd number of edges passed means that the walk is inside of a stretch.
  while (i < a.edges.size() || j < b.edges.size()) {
    const bool from_a = j == b.edges.size() || (i < a.edges.size() && a.edges[i] <= b.edges[j]);
    const std::uint32_t at = from_a ? a.edges[i] : b.edges[j];
    if (i < a.edges.size() && a.edges[i] == at) ++i;
    if (j < b.edges.size() && b.edges[j] == at) ++j;
    const bool now = both ? (i & j & 1U) != 0 : ((i | j) & 1U) != 0;
    if (now != inside) result.edges.push_back(at);
    inside = now;
  }
  return result;
}

}  // namespace

void check_mask_shape(std::int64_t height, std::int64_t width) {
  constexpr std::int64_t kMost = 0xFFFFFFFFLL;
  require_argument(
      height >= 0 && width >= 0 && height <= kMost && width <= kMost && (width == 0 || height <= kMost / width),
      "mask of ", height, " x ", width, " pixels; sides must be at least 0 and pixels at most 2^32 - 1");
}

void append_counts(std::span<const std::uint32_t> counts, std::int64_t height, std::int64_t width,
                   std::vector<std::uint32_t>& edges) {
  check_mask_shape(height, width);
  CountReader reader(height, width, edges);
  for (const std::uint32_t count : counts) reader.add(count);
  reader.finish();
}

void append_string(std::string_view text, std::int64_t height, std::int64_t width, std::vector<std::uint32_t>& edges) {
  check_mask_shape(height, width);
  const std::int64_t total = height * width;
  // Edges are collected in the cache and appended many at a time. There are no more of them than characters, and memory
  // that is reserved and never touched is no work; a vector that grows by doubling would touch all of it twice.
  constexpr std::size_t kRoom = 4096;
  std::array<std::uint32_t, kRoom> found;
  if (edges.empty() && text.size() > kRoom) {
    edges.reserve(text.size());
    prefer_large_pages(edges.data(), sizeof(edges[0]) * text.size());
  }
  std::size_t count = 0;
  std::int64_t position = 0;
  std::int64_t last = 0;
  std::int64_t last_but_one = 0;
  std::size_t number = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    for (; at < text.size() && count < kRoom; ++number) {
      unsigned bits = static_cast<unsigned char>(text[at++]) - 48U;
      auto value = static_cast<std::int64_t>(bits ^ 0x10U) - 0x10;  // five bits, the highest one being the sign
      if (bits >= 32) value = long_count(text, at, number);
      if (number > 2) value += last_but_one;
      last_but_one = last;
      last = value;
      require_argument(value >= 0, "count ", number, " of the compressed counts is ", value);
      require_argument(value <= total - position, "counts go beyond the mask's ", total, " pixels");
      position += value;
      // A stretch of length 0 joins its neighbours: its two ends cancel.
      if (count > 0 && found[count - 1] == position) {
        --count;
      } else {
        found[count++] = static_cast<std::uint32_t>(position);
      }
    }
    if (count == kRoom) {  // the last two stay: one may yet cancel
      edges.insert(edges.end(), found.begin(), found.end() - 2);
      found[0] = found[kRoom - 2];
      found[1] = found[kRoom - 1];
      count = 2;
    }
  }
  require_argument(position == total, "counts sum to ", position, "; the mask has ", total, " pixels");
  // The end of a last background is no edge; where it cancelled the foreground's end before it, that one comes back.
  if (count % 2 == 1) {
    if (found[count - 1] == static_cast<std::uint32_t>(total)) {
      --count;
    } else {
      found[count++] = static_cast<std::uint32_t>(total);
    }
  }
  edges.insert(edges.end(), found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count));
}

std::vector<std::uint32_t> to_counts(ColumnRunsView mask) {
  std::vector<std::uint32_t> counts;
  counts.reserve(mask.edges.size() + 1);
  std::uint32_t at = 0;
  for (const std::uint32_t edge : mask.edges) {
    counts.push_back(edge - at);
    at = edge;
  }
  const auto total = static_cast<std::uint32_t>(mask.height * mask.width);
  // COCO's tools write a last stretch of background only where there is one, and one count for a mask of no pixels.
  if (at < total || counts.empty()) counts.push_back(total - at);
  return counts;
}

std::string to_string(ColumnRunsView mask) {
  constexpr std::size_t kEdges = 512;  // written at a time
  constexpr std::size_t kRoom = kMostCharacters * (kEdges + 4) + sizeof(std::uint64_t);
  const std::span<const std::uint32_t> edges = mask.edges;
  // Memory that is reserved and never touched is no work; so the text grows by a little into what is there.
  std::string text;
  text.reserve(3 * edges.size() + kRoom);
  std::size_t used = 0;
  const auto room = [&] {
    if (text.size() - used < kRoom) text.resize(used + kRoom);
    return text.data() + used;
  };
  // As to_counts, with the difference to the last but one from the fourth count on.
  const auto edge = [&](std::size_t i) { return i == 0 ? std::int64_t{0} : std::int64_t{edges[i - 1]}; };
  const std::size_t first = std::min<std::size_t>(edges.size(), 3);
  char* to = room();
  for (std::size_t i = 0; i < first; ++i) to = write_count(edge(i + 1) - edge(i), to);
  used = static_cast<std::size_t>(to - text.data());
  for (std::size_t i = first; i < edges.size(); i += kEdges) {
    to = room();
    used +=
        static_cast<std::size_t>(write_counts(edges.subspan(i - 3, std::min(kEdges, edges.size() - i) + 3), to) - to);
  }
  const std::int64_t left = mask.height * mask.width - edge(edges.size());
  if (left > 0 || edges.empty()) {
    const std::size_t n = edges.size();
    to = room();
    used += static_cast<std::size_t>(write_count(n > 2 ? left - (edge(n - 1) - edge(n - 2)) : left, to) - to);
  }
  text.resize(used);
  return text;
}

std::int64_t area(ColumnRunsView mask) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < mask.edges.size(); i += 2) sum += mask.edges[i + 1] - mask.edges[i];
  return sum;
}

PixelBox bounding_box(ColumnRunsView mask) {
  if (mask.edges.empty()) return {};
  const std::int64_t height = mask.height;
  PixelBox box{height, mask.edges.front() / height, 0, (mask.edges.back() - 1) / height + 1};
  std::int64_t column = box.x0 * height;  // the first pixel of the column that the walk is in
  for (std::size_t i = 0; i < mask.edges.size(); i += 2) {
    const std::int64_t begin = mask.edges[i];
    const std::int64_t end = mask.edges[i + 1];
    if (begin >= column + height) column = begin < column + 2 * height ? column + height : begin / height * height;
    if (end > column + height) {  // runs over into the next column
      box.y0 = 0;
      box.y1 = height;
      break;
    }
    box.y0 = std::min(box.y0, begin - column);
    box.y1 = std::max(box.y1, end - column);
  }
  return box;
}

std::int64_t intersection_area(ColumnRunsView a, ColumnRunsView b, std::array<std::int64_t, 2> columns) {
  const std::span<const std::uint32_t> p = within(a.edges, columns[0] * a.height, columns[1] * a.height);
  const std::span<const std::uint32_t> q = within(b.edges, columns[0] * a.height, columns[1] * a.height);
  std::int64_t sum = 0;
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < p.size() && j < q.size()) {
    const std::int64_t begin = std::max(p[i], q[j]);
    const std::int64_t p_end = p[i + 1];
    const std::int64_t q_end = q[j + 1];
    sum += std::max<std::int64_t>(std::min(p_end, q_end) - begin, 0);
    // Which list moves on is a coin toss to the branch predictor, so both indices are computed.
    i += p_end <= q_end ? 2 : 0;
    j += q_end <= p_end ? 2 : 0;
  }
  return sum;
}

ColumnRuns merge(std::span<const ColumnRunsView> masks, MergeMode mode) {
  require_argument(!masks.empty(), "no masks to merge; at least one is needed");
  const ColumnRunsView& first = masks.front();
  ColumnRuns result{first.height, first.width, {first.edges.begin(), first.edges.end()}};
  for (const ColumnRunsView& mask : masks.subspan(1)) {
    require_argument(mask.height == first.height && mask.width == first.width, "masks of ", first.height, " x ",
                     first.width, " and ", mask.height, " x ", mask.width, " pixels; shapes must be equal");
    result = merge_two(result, mask, mode);
  }
  return result;
}

}  // namespace lcx
