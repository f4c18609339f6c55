#pragma once

#include <cstdint>

namespace lcx {

// Note [Streaming]
// A line of the cache that is written is read from memory first. Results that are too large to stay in the cache are
// written past it instead, which halves what moves: whole lines of 64 bytes, each written at once. What is read again
// soon must not be written so.

/// Pixels of a row that begin a line of the cache begin at multiples of this, where the row does.
inline constexpr std::int64_t kLineFloats = 16;

/// Copies a row past the cache where lines are whole; where the processor has no such stores, as usual.
void stream_row(const float* from, float* to, std::int64_t count);

/// Makes what has been streamed visible to other threads, before anything written later.
void end_streaming();

}  // namespace lcx
