#pragma once

#include <cstdint>
#include <string_view>

namespace lcx {

/// The entropy-coded data of a JPEG scan: one component, sequential DCT, Huffman codes (SOF0, SOF1).
struct JpegScan {
  std::string_view data;              ///< from behind SOS to EOI, both left out
  std::string_view dc;                ///< table as in DHT: 16 counts, then the symbols
  std::string_view ac;                ///< likewise
  std::int64_t blocks = 0;            ///< of 8 x 8 samples, that are due
  std::int64_t restart_interval = 0;  ///< in blocks; 0 = none
};

/// How many of the scan's blocks are there, whole and well-formed, before the data end or hold what no encoder writes.
/// Codes are followed, nothing is decoded: a small part of a decoder's work. Data behind the last block are not looked
/// at.
/// Throws Error(kInvalidArgument) if a table is no Huffman table.
std::int64_t count_jpeg_blocks(const JpegScan& scan);

}  // namespace lcx
