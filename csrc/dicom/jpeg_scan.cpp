#include "dicom/jpeg_scan.hpp"

#include <array>
#include <cstddef>
#include <vector>

#include "core/error.hpp"

namespace lcx {
namespace {

constexpr int kFastBits = 10;
constexpr int kLongest = 16;  // bits of a code

// One code and the bits that belong to it.
struct Step {
  std::uint8_t bits = 0;     // of both; 0 = no such code
  std::uint8_t advance = 0;  // coefficients that it stands for
};

constexpr std::uint8_t kEndOfBlock = 64;  // the rest are zeros, however many

// A DC code: a category, and as many bits. One of more than 16 bits is none.
Step dc_step(int length, std::uint8_t category) {
  return category > 16 ? Step{} : Step{static_cast<std::uint8_t>(length + category), 1};
}

// An AC code: a run of zeros and a size, and as many bits; 16 zeros; or the end of the block. Others are none.
Step ac_step(int length, std::uint8_t symbol) {
  const int run = symbol >> 4;
  const int size = symbol & 15;
  if (size == 0 && run != 0 && run != 15) return {};
  const int advance = symbol == 0 ? kEndOfBlock : run + 1;
  return {static_cast<std::uint8_t>(length + size), static_cast<std::uint8_t>(advance)};
}

// Codes by their first bits, and the longer ones by length (ISO 10918-1 C.2 and F.2.2.3).
class HuffmanTable {
 public:
  template <typename MakeStep>
  HuffmanTable(std::string_view dht, const char* name, const MakeStep& make_step) {
    require_argument(dht.size() >= kLongest, "the ", name, " table has ", dht.size(), " bytes; needed: 16 or more");
    std::uint32_t code = 0;
    std::size_t next = kLongest;
    for (int length = 1; length <= kLongest; ++length, code <<= 1) {
      const auto count = static_cast<std::uint8_t>(dht[static_cast<std::size_t>(length - 1)]);
      require_argument(code + count <= (1U << length) && next + count <= dht.size(), "the ", name,
                       " table has too many codes of ", length, " bits, or lacks their symbols");
      first_[length] = code;
      index_[length] = steps_.size();
      count_[length] = count;
      for (int i = 0; i < count; ++i, ++code, ++next) {
        const Step step = make_step(length, static_cast<std::uint8_t>(dht[next]));
        steps_.push_back(step);
        if (length > kFastBits || step.bits == 0) continue;
        const std::size_t from = std::size_t{code} << (kFastBits - length);
        for (std::size_t k = 0; k < std::size_t{1} << (kFastBits - length); ++k) {
          fast_[from + k] = step;
        }
      }
    }
  }

  // What the upper bits of 64 begin with.
  Step find(std::uint64_t bits) const {
    const Step step = fast_[bits >> (64 - kFastBits)];
    return step.bits != 0 ? step : find_long(bits);
  }

 private:
  Step find_long(std::uint64_t bits) const {
    for (int length = kFastBits + 1; length <= kLongest; ++length) {
      const auto code = static_cast<std::uint32_t>(bits >> (64 - length));
      if (code >= first_[length] && code - first_[length] < count_[length]) {
        return steps_[index_[length] + code - first_[length]];
      }
    }
    return {};
  }

  std::array<Step, 1 << kFastBits> fast_{};
  std::array<std::uint32_t, kLongest + 1> first_{};
  std::array<std::uint32_t, kLongest + 1> count_{};
  std::array<std::size_t, kLongest + 1> index_{};
  std::vector<Step> steps_;
};

// The data's bits, highest first; a zero after 0xFF is none of them, and a marker ends them.
class BitReader {
 public:
  explicit BitReader(std::string_view data) : at_(data.data()), end_(data.data() + data.size()) {}

  // The next bits, at least 32 of them, zeros where the data end.
  std::uint64_t peek() {
    if (count_ < 32) refill();
    return bits_;
  }

  // False if the data had fewer than these (at most 32) bits; peek() comes first.
  bool skip(int bits) {
    bits_ <<= bits;
    count_ -= bits;
    return count_ >= 0;
  }

  // Goes on behind restart marker `number`, if that is what comes next.
  bool restart(std::int64_t number) {
    refill();
    if (count_ >= 8) return false;
    bits_ = 0;
    count_ = 0;
    while (end_ - at_ >= 2 && at_[0] == '\xFF' && at_[1] == '\xFF') ++at_;  // fill bytes
    if (end_ - at_ < 2 || at_[0] != '\xFF' || static_cast<std::uint8_t>(at_[1]) != 0xD0 + number % 8) return false;
    at_ += 2;
    return true;
  }

 private:
  void refill() {
    // Four bytes at once, where none of them is 0xFF (a byte whose complement has a zero byte's carry).
    if (count_ <= 32 && end_ - at_ >= 4) {
      std::uint32_t word = 0;
      for (int i = 0; i < 4; ++i) word = word << 8 | static_cast<std::uint8_t>(at_[i]);
      if (((~word - 0x01010101U) & word & 0x80808080U) == 0) {
        bits_ |= std::uint64_t{word} << (32 - count_);
        count_ += 32;
        at_ += 4;
        return;
      }
    }
    while (count_ <= 56 && at_ < end_) {
      const auto byte = static_cast<std::uint8_t>(*at_);
      if (byte == 0xFF) {
        if (end_ - at_ < 2 || at_[1] != '\0') break;
        ++at_;
      }
      ++at_;
      bits_ |= std::uint64_t{byte} << (56 - count_);
      count_ += 8;
    }
  }

  const char* at_;
  const char* end_;
  std::uint64_t bits_ = 0;
  int count_ = 0;  // of bits_; below zero once more were skipped than there were
};

// Whether a whole block comes next (F.2.2).
bool skip_block(BitReader& reader, const HuffmanTable& dc, const HuffmanTable& ac) {
  const Step first = dc.find(reader.peek());
  if (first.bits == 0 || !reader.skip(first.bits)) return false;
  int k = 1;
  while (k < 64) {
    const Step step = ac.find(reader.peek());
    if (step.bits == 0 || !reader.skip(step.bits)) return false;
    if (step.advance == kEndOfBlock) return true;
    k += step.advance;
  }
  return k == 64;
}

}  // namespace

std::int64_t count_jpeg_blocks(const JpegScan& scan) {
  const HuffmanTable dc(scan.dc, "DC", dc_step);
  const HuffmanTable ac(scan.ac, "AC", ac_step);
  BitReader reader(scan.data);
  for (std::int64_t block = 0; block < scan.blocks; ++block) {
    if (scan.restart_interval > 0 && block > 0 && block % scan.restart_interval == 0 &&
        !reader.restart(block / scan.restart_interval - 1)) {
      return block;
    }
    if (!skip_block(reader, dc, ac)) return block;
  }
  return scan.blocks;
}

}  // namespace lcx
