#include "ops/blend_tiles/tile_row.hpp"

#include <algorithm>

#include "core/simd.hpp"
#include "core/stream_row.hpp"

namespace lcx::cpu {
namespace {

// The row loops go by whole lines, the last one moved back to end with the columns: those that are done twice cost less
// than those that are done one by one. Where no other tile overlaps, share and factor are 1 and the value is the
// tile's.
LCX_SIMD_CLONES void take_shares(const float* from, const float* shares, float factor, float* __restrict to,
                                 std::int64_t count) {
  std::int64_t x = 0;
  for (; x + kLineFloats <= count; x += kLineFloats) {
    for (std::int64_t k = x; k < x + kLineFloats; ++k) to[k] = factor * shares[k] * from[k];
  }
  if (x == count) return;
  if (x > 0) {
    for (std::int64_t k = count - kLineFloats; k < count; ++k) to[k] = factor * shares[k] * from[k];
  } else {
    for (; x < count; ++x) to[x] = factor * shares[x] * from[x];
  }
}

LCX_SIMD_CLONES void add_shares(const float* before, const float* from, const float* shares, float factor,
                                float* __restrict to, std::int64_t count) {
  std::int64_t x = 0;
  for (; x + kLineFloats <= count; x += kLineFloats) {
    for (std::int64_t k = x; k < x + kLineFloats; ++k) to[k] = before[k] + factor * shares[k] * from[k];
  }
  if (x == count) return;
  if (x > 0) {
    for (std::int64_t k = count - kLineFloats; k < count; ++k) to[k] = before[k] + factor * shares[k] * from[k];
  } else {
    for (; x < count; ++x) to[x] = before[x] + factor * shares[x] * from[x];
  }
}

// Sums of tile columns [begin, end). The first tile of its row to cover a column takes over what waits there, so that
// every sum has one summand before its own.
void sum_columns(const TileColumns& columns, const TileRow& row, std::int64_t begin, std::int64_t end, float* sums) {
  const float* carried = row.carried - columns.done_begin;
  const float* shares = columns.shares.data();
  const std::int64_t own = std::clamp<std::int64_t>(0, begin, end);
  const std::int64_t covered = std::clamp(columns.earlier_end, own, end);
  sums -= begin;
  for (std::int64_t x = begin; x < own; ++x) sums[x] = carried[x];
  if (covered > own) {
    add_shares(carried + own, row.from + own, shares + own, row.factor, sums + own, covered - own);
  }
  if (covered == end) return;
  if (row.is_first) {
    take_shares(row.from + covered, shares + covered, row.factor, sums + covered, end - covered);
  } else {
    add_shares(row.waiting + covered, row.from + covered, shares + covered, row.factor, sums + covered, end - covered);
  }
}

void put(const float* from, float* to, std::int64_t count, bool streams) {
  if (streams) {
    stream_row(from, to, count);
  } else {
    std::copy(from, from + count, to);
  }
}

}  // namespace

void add_tile_row(const TileColumns& columns, const TileRow& row) {
  const std::int64_t begin = columns.done_begin;
  const std::int64_t end = columns.done_end;
  if (row.is_last) {
    const std::int64_t alone = row.is_first ? columns.alone_begin : end;
    sum_columns(columns, row, begin, alone, row.room);
    put(row.room, row.to + begin, alone - begin, row.streams);
    put(row.from + alone, row.to + alone, end - alone, row.streams);
  } else if (row.is_first) {
    sum_columns(columns, row, begin, end, row.waiting + begin);
  } else {
    sum_columns(columns, row, begin, end, row.room);
    std::copy(row.room, row.room + (end - begin), row.waiting + begin);
  }
  // What is carried on lies before what was carried here, and may overlap it.
  const std::int64_t covered = std::max(columns.earlier_end, end);
  if (covered > end) {
    sum_columns(columns, row, end, covered, row.room);
    std::copy(row.room, row.room + (covered - end), row.carried);
  }
  sum_columns(columns, row, covered, columns.count, row.carried + (covered - end));
}

}  // namespace lcx::cpu
