#include "ops/breast_mask/bit_image.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <numeric>
#include <utility>

#include "core/simd.hpp"

namespace lcx::cpu {
namespace {

LCX_SIMD_CLONES void or_vertical(const std::uint64_t* in, std::int64_t stride, std::int64_t count, std::uint64_t* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = in[i - stride] | in[i] | in[i + stride];
}

LCX_SIMD_CLONES void or_cross(const std::uint64_t* in, std::int64_t stride, std::int64_t count, std::uint64_t* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t left = (in[i] << 1) | (in[i - 1] >> 63);
    const std::uint64_t right = (in[i] >> 1) | (in[i + 1] << 63);
    out[i] = in[i - stride] | in[i] | in[i + stride] | left | right;
  }
}

LCX_SIMD_CLONES void or_horizontal(const std::uint64_t* in, std::int64_t count, std::uint64_t* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = in[i] | (in[i] << 1) | (in[i - 1] >> 63) | (in[i] >> 1) | (in[i + 1] << 63);
  }
}

}  // namespace

// --- Storage ---

BitImage::BitImage(std::int64_t height, std::int64_t width)
    : height_(height),
      width_(width),
      stride_((width + 63) / 64 + 1),
      words_(static_cast<std::size_t>((height + 2) * stride_ + 2), 0),
      scratch_(words_.size(), 0) {}

void BitImage::set_run(std::int64_t y, std::int64_t begin, std::int64_t end) {
  std::uint64_t* const words = row(y);
  const std::int64_t first = begin / 64;
  const std::int64_t last = (end - 1) / 64;
  const std::uint64_t head = ~std::uint64_t{0} << (begin % 64);
  const std::uint64_t tail = ~std::uint64_t{0} >> (63 - (end - 1) % 64);
  if (first == last) {
    words[first] |= head & tail;
    return;
  }
  words[first] |= head;
  std::fill(words + first + 1, words + last, ~std::uint64_t{0});
  words[last] |= tail;
}

void BitImage::set_outside(bool value) {
  const std::uint64_t fill = value ? ~std::uint64_t{0} : 0;
  const std::int64_t words = words_per_row();
  const std::uint64_t unused = width_ % 64 ? ~std::uint64_t{0} << (width_ % 64) : 0;
  std::fill_n(words_.begin(), stride_ + 1, fill);
  for (std::int64_t y = 0; y < height_; ++y) {
    std::uint64_t* const line = row(y);
    line[words - 1] = (line[words - 1] & ~unused) | (fill & unused);
    line[words] = fill;
  }
  std::fill_n(words_.end() - stride_ - 1, stride_ + 1, fill);
}

void BitImage::invert() {
  for (std::uint64_t& word : words_) word = ~word;
}

void BitImage::intersect(const BitImage& other) {
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
}

// --- Morphology ---

void BitImage::dilate_once(int step, bool outside) {
  set_outside(outside);
  const std::int64_t count = height_ * stride_;
  const std::int64_t first = stride_ + 1;
  if (step % 2 == 0) {
    or_cross(words_.data() + first, stride_, count, scratch_.data() + first);
    words_.swap(scratch_);
    return;
  }
  or_vertical(words_.data() + first, stride_, count, scratch_.data() + first);
  // Left of the first row lies a guard that no vertical step has written.
  scratch_[static_cast<std::size_t>(first - 1)] = words_[static_cast<std::size_t>(first - 1)];
  or_horizontal(scratch_.data() + first, count, words_.data() + first);
}

void dilate(BitImage& image, std::int64_t radius, bool outside) {
  for (int step = 0; step < radius; ++step) image.dilate_once(step, outside);
  image.set_outside(false);
}

void erode(BitImage& image, std::int64_t radius, bool outside) {
  image.invert();
  dilate(image, radius, !outside);
  image.invert();
  image.set_outside(false);
}

void open(BitImage& image, std::int64_t radius, bool outside) {
  erode(image, radius, outside);
  dilate(image, radius, false);
}

BitImage close(const BitImage& image, std::int64_t radius) {
  // A margin of whole words on the left keeps rows aligned, so that copying in and out is by words.
  const std::int64_t margin_words = (radius + 63) / 64;
  BitImage padded(image.height() + 2 * radius, image.width() + 64 * margin_words + radius);
  for (std::int64_t y = 0; y < image.height(); ++y) {
    std::copy_n(image.row(y), image.words_per_row(), padded.row(y + radius) + margin_words);
  }
  dilate(padded, radius, false);
  erode(padded, radius, false);
  BitImage closed(image.height(), image.width());
  for (std::int64_t y = 0; y < image.height(); ++y) {
    std::copy_n(padded.row(y + radius) + margin_words, image.words_per_row(), closed.row(y));
  }
  closed.set_outside(false);
  return closed;
}

// --- Connected regions ---

namespace {

/// Pixels [begin, end) of row y, and the number of an earlier run of the same region, or its own.
struct Run {
  std::int64_t y, begin, end;
  std::size_t parent;
};

std::size_t find_root(std::vector<Run>& runs, std::size_t run) {
  while (runs[run].parent != run) {
    runs[run].parent = runs[runs[run].parent].parent;
    run = runs[run].parent;
  }
  return run;
}

void append_runs(const BitImage& image, std::int64_t y, std::vector<Run>& runs) {
  std::uint64_t before = 0;
  bool inside = false;
  for (std::int64_t word = 0; word < image.words_per_row(); ++word) {
    const std::uint64_t bits = image.row(y)[word];
    std::uint64_t changes = bits ^ ((bits << 1) | (before >> 63));
    before = bits;
    for (; changes; changes &= changes - 1) {
      const std::int64_t x = 64 * word + std::countr_zero(changes);
      if (inside) {
        runs.back().end = x;
      } else {
        runs.push_back({y, x, image.width(), runs.size()});
      }
      inside = !inside;
    }
  }
}

/// Joins the runs of one row with those of the row above that share a side with them.
void join_rows(std::vector<Run>& runs, std::size_t above, std::size_t current) {
  const std::size_t end = runs.size();
  for (std::size_t a = above, b = current; a < current && b < end;) {
    if (runs[a].begin < runs[b].end && runs[b].begin < runs[a].end) {
      const std::size_t root_a = find_root(runs, a);
      const std::size_t root_b = find_root(runs, b);
      runs[std::max(root_a, root_b)].parent = std::min(root_a, root_b);
    }
    if (runs[a].end < runs[b].end) {
      ++a;
    } else {
      ++b;
    }
  }
}

/// All runs of set pixels; `parent` is the first run of the region. Needs nothing set outside the image.
std::vector<Run> label_runs(const BitImage& image) {
  std::vector<Run> runs;
  std::size_t above = 0;
  for (std::int64_t y = 0; y < image.height(); ++y) {
    const std::size_t current = runs.size();
    append_runs(image, y, runs);
    join_rows(runs, above, current);
    above = current;
  }
  for (std::size_t run = 0; run < runs.size(); ++run) runs[run].parent = find_root(runs, run);
  return runs;
}

/// Set pixels within reach of one edge, and the first and last row that have any (first > last: none).
struct EdgeContact {
  std::int64_t count = 0;
  std::int64_t first = 1;
  std::int64_t last = 0;

  bool holds(std::int64_t y) const { return first <= y && y <= last; }
};

EdgeContact edge_contact(const BitImage& image, std::int64_t begin, std::int64_t end) {
  EdgeContact contact;
  for (std::int64_t y = 0; y < image.height(); ++y) {
    const std::int64_t before = contact.count;
    for (std::int64_t x = begin; x < end; ++x) contact.count += image.at(y, x);
    if (contact.count == before) continue;
    if (before == 0) contact.first = y;
    contact.last = y;
  }
  return contact;
}

}  // namespace

void fill_enclosed(BitImage& image, std::int64_t reach) {
  reach = std::clamp<std::int64_t>(reach, 1, image.width());
  const EdgeContact left = edge_contact(image, 0, reach);
  const EdgeContact right = edge_contact(image, image.width() - reach, image.width());
  const bool left_wall = left.count >= right.count && image.width() > 1;
  const bool right_wall = right.count >= left.count && image.width() > 1;

  BitImage gaps = image;
  gaps.invert();
  gaps.set_outside(false);
  const std::vector<Run> runs = label_runs(gaps);
  std::vector<std::uint8_t> is_outside(runs.size(), 0);
  for (const Run& run : runs) {
    const bool open_left = run.begin == 0 && !(left_wall && left.holds(run.y));
    const bool open_right = run.end == image.width() && !(right_wall && right.holds(run.y));
    if (run.y == 0 || run.y == image.height() - 1 || open_left || open_right) is_outside[run.parent] = 1;
  }
  for (const Run& run : runs) {
    if (!is_outside[run.parent]) image.set_run(run.y, run.begin, run.end);
  }
}

BitImage keep_best_region(const BitImage& image) {
  const std::vector<Run> runs = label_runs(image);
  std::vector<std::int64_t> area(runs.size(), 0);
  std::vector<std::uint8_t> touches(runs.size(), 0);
  for (const Run& run : runs) {
    area[run.parent] += run.end - run.begin;
    touches[run.parent] |= static_cast<std::uint8_t>(run.begin == 0 || run.end == image.width());
  }
  const auto score = [&](std::size_t region) { return area[region] * (1 + touches[region]); };
  std::int64_t best = 0;
  for (std::size_t run = 0; run < runs.size(); ++run) best = std::max(best, score(run));
  BitImage kept(image.height(), image.width());
  for (const Run& run : runs) {
    if (score(run.parent) == best) kept.set_run(run.y, run.begin, run.end);
  }
  return kept;
}

}  // namespace lcx::cpu
