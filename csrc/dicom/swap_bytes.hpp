#pragma once

#include <cstdint>

namespace lcx {

/// Samples of 16 bits from the other byte order, and the largest of them, which is found while they are at hand.
///
/// from   2 * count bytes, at any address
/// to     [count], elsewhere
/// Returns the largest sample; 0 if there are none.
std::uint16_t swap_bytes(const unsigned char* from, std::uint16_t* to, std::int64_t count);

}  // namespace lcx
