#pragma once

#include <cstdint>
#include <vector>

namespace lcx::cpu {

// Note [Bit image]
// One bit a pixel, 64 pixels a word, pixel x of a row in bit x % 64 of word x / 64. Rows are `stride` words
// apart: their pixels' words, then one guard word, which is also the guard to the left of the next row; a
// guard row lies above and below. Guards and the unused bits of a row's last word hold what is said to lie
// outside the image, so that morphology is one flat loop over all words, with no edge cases. The free
// functions below take and leave images with 0 there.

/// A binary image, packed. See Note [Bit image].
class BitImage {
 public:
  BitImage(std::int64_t height, std::int64_t width);

  std::int64_t height() const { return height_; }
  std::int64_t width() const { return width_; }
  std::int64_t words_per_row() const { return stride_ - 1; }
  std::uint64_t* row(std::int64_t y) { return words_.data() + (y + 1) * stride_ + 1; }
  const std::uint64_t* row(std::int64_t y) const { return words_.data() + (y + 1) * stride_ + 1; }
  bool at(std::int64_t y, std::int64_t x) const { return (row(y)[x / 64] >> (x % 64)) & 1; }

  /// Sets the pixels [begin, end) of row y.
  void set_run(std::int64_t y, std::int64_t begin, std::int64_t end);
  /// Says what lies outside the image; `false` on construction.
  void set_outside(bool value);
  /// Inverts the pixels, and what lies outside.
  void invert();
  /// Keeps what is set in `other` too; same shape.
  void intersect(const BitImage& other);
  /// Adds the neighbours above, below, left and right, and on odd steps the diagonal ones too. Leaves
  /// anything outside the image.
  void dilate_once(int step, bool outside);

 private:
  std::int64_t height_ = 0;
  std::int64_t width_ = 0;
  std::int64_t stride_ = 0;
  std::vector<std::uint64_t> words_;
  std::vector<std::uint64_t> scratch_;
};

/// `radius` steps from step 0 on: the structuring element is an octagon of that radius.
void dilate(BitImage& image, std::int64_t radius, bool outside);
void erode(BitImage& image, std::int64_t radius, bool outside);
/// Erosion, then dilation; `outside` is what the erosion sees beyond the image's edge.
void open(BitImage& image, std::int64_t radius, bool outside);
/// Dilation, then erosion, as if the image lay in an endless plane.
BitImage close(const BitImage& image, std::int64_t radius);

/// Fills what cannot be reached from outside through the 4 sides of pixels that are not set. Nothing comes in
/// through the chest wall: the left or right edge, whichever has more set pixels within `reach` (both if
/// equal), from the first to the last row that has any there.
void fill_enclosed(BitImage& image, std::int64_t reach);
/// Keeps the largest 4-connected region, one that touches the left or right edge counting double. Regions
/// that tie all stay, so that a mirrored image gives the mirrored result.
BitImage keep_best_region(const BitImage& image);

}  // namespace lcx::cpu
