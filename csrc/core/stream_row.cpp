#include "core/stream_row.hpp"

#include <algorithm>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace lcx {

#ifdef __SSE2__

void stream_row(const float* from, float* to, std::int64_t count) {
  const std::int64_t into_line =
      static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) / sizeof(float)) % kLineFloats;
  const std::int64_t head = std::min(count, (kLineFloats - into_line) % kLineFloats);
  std::copy(from, from + head, to);
  std::int64_t x = head;
  for (; x + kLineFloats <= count; x += kLineFloats) {
    const __m128 a = _mm_loadu_ps(from + x);
    const __m128 b = _mm_loadu_ps(from + x + 4);
    const __m128 c = _mm_loadu_ps(from + x + 8);
    const __m128 d = _mm_loadu_ps(from + x + 12);
    _mm_stream_ps(to + x, a);
    _mm_stream_ps(to + x + 4, b);
    _mm_stream_ps(to + x + 8, c);
    _mm_stream_ps(to + x + 12, d);
  }
  std::copy(from + x, from + count, to + x);
}

void end_streaming() { _mm_sfence(); }

#else

void stream_row(const float* from, float* to, std::int64_t count) { std::copy(from, from + count, to); }

void end_streaming() {}

#endif

}  // namespace lcx
