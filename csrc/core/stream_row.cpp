#include "core/stream_row.hpp"

#include <algorithm>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#include <immintrin.h>
#define LCX_WIDE_STREAMS
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace lcx {

#ifdef __SSE2__

namespace {

// `count` whole lines, `to` where one begins.
using StreamLines = void (*)(const float* from, float* to, std::int64_t count);

void stream_lines_sse2(const float* from, float* to, std::int64_t count) {
  for (const float* end = from + count * kLineFloats; from < end; from += kLineFloats, to += kLineFloats) {
    const __m128 a = _mm_loadu_ps(from);
    const __m128 b = _mm_loadu_ps(from + 4);
    const __m128 c = _mm_loadu_ps(from + 8);
    const __m128 d = _mm_loadu_ps(from + 12);
    _mm_stream_ps(to, a);
    _mm_stream_ps(to + 4, b);
    _mm_stream_ps(to + 8, c);
    _mm_stream_ps(to + 12, d);
  }
}

#ifdef LCX_WIDE_STREAMS

__attribute__((target("avx512f"))) void stream_lines_avx512(const float* from, float* to, std::int64_t count) {
  for (std::int64_t x = 0; x < count * kLineFloats; x += kLineFloats)
    _mm512_stream_ps(to + x, _mm512_loadu_ps(from + x));
}

__attribute__((target("avx"))) void stream_lines_avx(const float* from, float* to, std::int64_t count) {
  for (std::int64_t x = 0; x < count * kLineFloats; x += kLineFloats) {
    const __m256 a = _mm256_loadu_ps(from + x);
    const __m256 b = _mm256_loadu_ps(from + x + 8);
    _mm256_stream_ps(to + x, a);
    _mm256_stream_ps(to + x + 8, b);
  }
}

StreamLines choose_stream_lines() {
  if (__builtin_cpu_supports("avx512f")) return stream_lines_avx512;
  if (__builtin_cpu_supports("avx")) return stream_lines_avx;
  return stream_lines_sse2;
}

#else

StreamLines choose_stream_lines() { return stream_lines_sse2; }

#endif

}  // namespace

void stream_row(const float* from, float* to, std::int64_t count) {
  static const StreamLines stream_lines = choose_stream_lines();
  const std::int64_t into_line =
      static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) / sizeof(float)) % kLineFloats;
  const std::int64_t head = std::min(count, (kLineFloats - into_line) % kLineFloats);
  const std::int64_t lines = (count - head) / kLineFloats;
  std::copy(from, from + head, to);
  stream_lines(from + head, to + head, lines);
  const std::int64_t done = head + lines * kLineFloats;
  std::copy(from + done, from + count, to + done);
}

void end_streaming() { _mm_sfence(); }

#else

void stream_row(const float* from, float* to, std::int64_t count) { std::copy(from, from + count, to); }

void end_streaming() {}

#endif

}  // namespace lcx
