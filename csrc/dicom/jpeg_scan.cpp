#include "dicom/jpeg_scan.hpp"

#include <array>
#include <cstddef>
#include <vector>

#include "core/error.hpp"

namespace lcx {
namespace {

constexpr int kFastBits = 10;
constexpr int kLongest = 16;  // bits of a code

struct Code {
  std::uint8_t length = 0;  // bits; 0 = no such code
  std::uint8_t symbol = 0;
};

// Codes by their first bits, and the longer ones by length (ISO 10918-1 C.2 and F.2.2.3).
class HuffmanTable {
 public:
  HuffmanTable(std::string_view dht, const char* name) {
    require_argument(dht.size() >= kLongest, "the ", name, " table has ", dht.size(), " bytes; needed: 16 or more");
    std::uint32_t code = 0;
    std::size_t next = kLongest;
    for (int length = 1; length <= kLongest; ++length, code <<= 1) {
      const auto count = static_cast<std::uint8_t>(dht[static_cast<std::size_t>(length - 1)]);
      require_argument(code + count <= (1U << length) && next + count <= dht.size(), "the ", name,
                       " table has too many codes of ", length, " bits, or lacks their symbols");
      first_[length] = code;
      index_[length] = symbols_.size();
      count_[length] = count;
      for (int i = 0; i < count; ++i, ++code, ++next) {
        const auto symbol = static_cast<std::uint8_t>(dht[next]);
        symbols_.push_back(symbol);
        if (length > kFastBits) continue;
        const std::size_t from = std::size_t{code} << (kFastBits - length);
        for (std::size_t k = 0; k < std::size_t{1} << (kFastBits - length); ++k) {
          fast_[from + k] = {static_cast<std::uint8_t>(length), symbol};
        }
      }
    }
  }

  // The code that the upper 16 of 64 bits begin with.
  Code find(std::uint64_t bits) const {
    const Code code = fast_[bits >> (64 - kFastBits)];
    return code.length != 0 ? code : find_long(bits);
  }

 private:
  Code find_long(std::uint64_t bits) const {
    for (int length = kFastBits + 1; length <= kLongest; ++length) {
      const auto code = static_cast<std::uint32_t>(bits >> (64 - length));
      if (code >= first_[length] && code - first_[length] < count_[length]) {
        return {static_cast<std::uint8_t>(length), symbols_[index_[length] + code - first_[length]]};
      }
    }
    return {};
  }

  std::array<Code, 1 << kFastBits> fast_{};
  std::array<std::uint32_t, kLongest + 1> first_{};
  std::array<std::uint32_t, kLongest + 1> count_{};
  std::array<std::size_t, kLongest + 1> index_{};
  std::vector<std::uint8_t> symbols_;
};

// The data's bits, highest first; a zero after 0xFF is none of them, and a marker ends them.
class BitReader {
 public:
  explicit BitReader(std::string_view data) : at_(data.data()), end_(data.data() + data.size()) {}

  // The next bits, at least 48 of them, zeros where the data end.
  std::uint64_t peek() {
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
    peek();
    if (count_ >= 8) return false;
    bits_ = 0;
    count_ = 0;
    while (end_ - at_ >= 2 && at_[0] == '\xFF' && at_[1] == '\xFF') ++at_;  // fill bytes
    if (end_ - at_ < 2 || at_[0] != '\xFF' || static_cast<std::uint8_t>(at_[1]) != 0xD0 + number % 8) return false;
    at_ += 2;
    return true;
  }

 private:
  const char* at_;
  const char* end_;
  std::uint64_t bits_ = 0;
  int count_ = 0;  // of bits_; below zero once more were skipped than there were
};

// Whether a whole block comes next (F.2.2).
bool skip_block(BitReader& reader, const HuffmanTable& dc, const HuffmanTable& ac) {
  const Code category = dc.find(reader.peek());
  if (category.length == 0 || category.symbol > 16 || !reader.skip(category.length + category.symbol)) return false;
  for (int k = 1; k < 64; ++k) {
    const Code code = ac.find(reader.peek());
    const int run = code.symbol >> 4;
    const int size = code.symbol & 15;
    if (code.length == 0 || !reader.skip(code.length + size)) return false;
    if (size == 0) {
      if (run == 0) return true;  // the rest are zeros
      if (run != 15) return false;
    }
    k += run;
    if (size != 0 && k > 63) return false;
  }
  return true;
}

}  // namespace

std::int64_t count_jpeg_blocks(const JpegScan& scan) {
  const HuffmanTable dc(scan.dc, "DC");
  const HuffmanTable ac(scan.ac, "AC");
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
