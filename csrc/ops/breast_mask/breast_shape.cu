// Morphology and regions: kernels of one block that paint, and between them the components of what was painted.

#include <utility>

#include "ops/breast_mask/device_breast.cuh"

namespace lcx::cuda {
namespace {

constexpr std::uint32_t kAllBits = 0xffffffffU;

/// Bits of word `column` in the columns [begin, end).
__device__ inline std::uint32_t bits_between(std::int32_t begin, std::int32_t end, std::int32_t column) {
  const std::int32_t first = min(max(begin - 32 * column, 0), 32);
  const std::int32_t last = min(max(end - 32 * column, 0), 32);
  return low_bits(last) & ~low_bits(first);
}

/// An image of two buffers, of which a step reads one and writes the other; the block works on it together. What lies
/// outside a step's window is not looked at but taken to be `outside`.
struct Canvas {
  DeviceBits now, next;

  __device__ std::uint32_t read(std::int32_t y, std::int32_t column, const DeviceRectangle& window,
                                std::uint32_t outside) const {
    if (y < window.y0 || y >= window.y1) return outside;
    const std::uint32_t inside = bits_between(window.x0, window.x1, column);
    if (inside == 0) return outside;
    return (now.words[std::int64_t{y} * now.row_words + column] & inside) | (outside & ~inside);
  }
};

/// Calls visit(y, column, bits inside) for each word of a window.
template <typename Visit>
__device__ inline void for_each_window_word(const DeviceRectangle& window, const Visit& visit) {
  if (window.empty()) return;
  const std::int32_t first = window.x0 >> 5;
  const std::int32_t columns = ((window.x1 - 1) >> 5) - first + 1;
  for (auto at = static_cast<std::int32_t>(threadIdx.x); at < columns * window.height(); at += kBreastThreads) {
    const std::int32_t column = first + at % columns;
    visit(window.y0 + at / columns, column, bits_between(window.x0, window.x1, column));
  }
}

/// For each word of an image, margins and all.
template <typename Visit>
__device__ inline void for_each_image_word(const DeviceBits& bits, const Visit& visit) {
  for (auto at = static_cast<std::int64_t>(threadIdx.x); at < bits.word_count(); at += kBreastThreads) {
    visit(at, static_cast<std::int32_t>(at / bits.row_words), static_cast<std::int32_t>(at % bits.row_words));
  }
}

template <bool kErode>
__device__ inline std::uint32_t combine(std::uint32_t a, std::uint32_t b) {
  return kErode ? a & b : a | b;
}

/// The neighbours above, below, left and right, and on odd steps the diagonal ones too.
template <bool kErode>
__device__ inline void paint_step(Canvas& canvas, const DeviceRectangle& window, int step, std::uint32_t outside) {
  for_each_window_word(window, [&](std::int32_t y, std::int32_t column, std::uint32_t inside) {
    const auto down = [&](std::int32_t at) {
      const std::uint32_t beside =
          combine<kErode>(canvas.read(y - 1, at, window, outside), canvas.read(y + 1, at, window, outside));
      return combine<kErode>(beside, canvas.read(y, at, window, outside));
    };
    const auto single = [&](std::int32_t at) { return canvas.read(y, at, window, outside); };
    const bool diagonal = step % 2 != 0;
    const std::uint32_t own = down(column);
    const WordWithNeighbours across{diagonal ? down(column - 1) : single(column - 1), diagonal ? own : single(column),
                                    diagonal ? down(column + 1) : single(column + 1)};
    const std::uint32_t painted = combine<kErode>(own, combine<kErode>(across.from_left(), across.from_right()));
    canvas.next.words[std::int64_t{y} * canvas.next.row_words + column] = painted & inside;
  });
  __syncthreads();
  const DeviceBits painted = canvas.next;
  canvas.next = canvas.now;
  canvas.now = painted;
}

template <bool kErode>
__device__ inline void paint(Canvas& canvas, const DeviceRectangle& window, std::int64_t radius, bool outside) {
  for (int step = 0; step < radius; ++step) paint_step<kErode>(canvas, window, step, outside ? kAllBits : 0);
}

__device__ inline void paint_opening(Canvas& canvas, const DeviceRectangle& window, std::int64_t radius, bool outside) {
  paint<true>(canvas, window, radius, outside);
  paint<false>(canvas, window, radius, false);
}

/// As if the image lay in an endless plane: on a window that is larger by the radius.
__device__ inline void paint_closing(Canvas& canvas, const DeviceRectangle& window, std::int64_t radius) {
  if (window.empty()) return;  // all threads or none
  const auto more = static_cast<std::int32_t>(radius);
  const DeviceRectangle wide{window.y0 - more, window.y1 + more, window.x0 - more, window.x1 + more};
  // What the buffer holds around the window is of an earlier step.
  for_each_window_word(wide, [&](std::int32_t y, std::int32_t column, std::uint32_t) {
    const std::uint32_t bits = canvas.read(y, column, window, 0);
    canvas.next.words[std::int64_t{y} * canvas.next.row_words + column] = bits;
  });
  __syncthreads();
  const DeviceBits widened = canvas.next;
  canvas.next = canvas.now;
  canvas.now = widened;
  paint<false>(canvas, wide, radius, false);
  paint<true>(canvas, wide, radius, false);
}

/// Set pixels within reach of an edge, and the first and last row that have any.
struct Wall {
  std::int32_t count, first, last;
  __device__ bool holds(std::int32_t y) const { return first <= y && y <= last; }
};

__device__ inline void touch_wall(const Canvas& canvas, const DeviceRectangle& window, std::int32_t begin,
                                  std::int32_t end, Wall* wall) {
  for (std::int32_t y = window.y0 + static_cast<std::int32_t>(threadIdx.x); y < window.y1; y += kBreastThreads) {
    std::int32_t count = 0;
    for (std::int32_t column = begin >> 5; 32 * column < end; ++column) {
      count += __popc(canvas.read(y, column, window, 0) & bits_between(begin, end, column));
    }
    if (count == 0) continue;
    atomicAdd(&wall->count, count);
    atomicMin(&wall->first, y);
    atomicMax(&wall->last, y);
  }
}

/// Where filling may come in: the area's edge, but for the chest wall. `walls` [2] is shared memory.
__device__ inline void write_gaps(const Canvas& canvas, const DeviceRectangle& window, std::int64_t radius,
                                  const DeviceBits& gaps, const DeviceBits& seeds, Wall* walls) {
  const auto reach = static_cast<std::int32_t>(min(max(radius, std::int64_t{1}), std::int64_t{max(window.width(), 0)}));
  if (threadIdx.x < 2) walls[threadIdx.x] = {0, 0x7fffffff, -1};
  __syncthreads();
  touch_wall(canvas, window, window.x0, window.x0 + reach, walls);
  touch_wall(canvas, window, window.x1 - reach, window.x1, walls + 1);
  __syncthreads();
  const bool left_wall = walls[0].count >= walls[1].count && window.width() > 1;
  const bool right_wall = walls[1].count >= walls[0].count && window.width() > 1;
  for_each_image_word(gaps, [&](std::int64_t at, std::int32_t y, std::int32_t column) {
    const bool is_row = window.y0 <= y && y < window.y1;
    const std::uint32_t inside = is_row ? bits_between(window.x0, window.x1, column) : 0;
    const bool is_left_open = !(left_wall && walls[0].holds(y));
    const bool is_right_open = !(right_wall && walls[1].holds(y));
    const bool is_end_row = y == window.y0 || y == window.y1 - 1;
    const std::uint32_t sides = (is_left_open ? bits_between(window.x0, window.x0 + 1, column) : 0) |
                                (is_right_open ? bits_between(window.x1 - 1, window.x1, column) : 0);
    seeds.words[at] = (is_end_row ? kAllBits : sides) & inside;
    // `gaps` may be the buffer that is read: each word by the thread that writes it.
    gaps.words[at] = ~canvas.read(y, column, window, 0) & inside;
  });
}

/// The area in the canvas' columns and rows.
__device__ inline DeviceRectangle area_window(const DeviceBreast& breast) {
  const DeviceRectangle area = breast.state->area;
  if (area.empty()) return {0, 0, 0, 0};
  return {area.y0 + breast.margin_y(), area.y1 + breast.margin_y(), area.x0 + breast.margin_x(),
          area.x1 + breast.margin_x()};
}

// How many columns from an edge on are lit or of tissue, one after the other; the thread's own count of the walk.
__device__ inline std::int32_t lit_columns(const DeviceBreast& breast, const DeviceRectangle& area, bool from_left) {
  std::int32_t count = 0;
  while (count < area.width() / 8 && breast.raised[from_left ? area.x0 + count : area.x1 - 1 - count] != 0) ++count;
  return count;
}

// Pixels above their column's threshold; closed; and where filling may come in.
__global__ void __launch_bounds__(kBreastThreads) begin_shape(DeviceBreast breast) {
  LCX_SHARED(std::int32_t, lit, 2);
  LCX_SHARED(Wall, walls, 2);
  const DeviceRectangle area = breast.state->area;
  const DeviceRectangle window = area_window(breast);
  if (threadIdx.x < 2) lit[threadIdx.x] = area.empty() ? 0 : lit_columns(breast, area, threadIdx.x == 0);
  __syncthreads();
  const std::int32_t common = breast.state->threshold;
  Canvas canvas{breast.canvas[0], breast.canvas[1]};
  for_each_window_word(window, [&](std::int32_t y, std::int32_t column, std::uint32_t inside) {
    std::uint32_t bits = 0;
    for (int bit = 0; bit < 32; ++bit) {
      if (!(inside >> bit & 1U)) continue;
      const std::int32_t x = 32 * column + bit - breast.margin_x();
      const bool is_raised = x - area.x0 < lit[0] || area.x1 - 1 - x < lit[1];
      const std::int32_t threshold = is_raised ? breast.raised[x] : common;
      const std::int32_t level = breast.levels[std::int64_t{y - breast.margin_y()} * breast.width + x];
      bits |= level > threshold ? 1U << bit : 0;
    }
    canvas.now.words[std::int64_t{y} * canvas.now.row_words + column] = bits;
  });
  __syncthreads();
  paint_closing(canvas, window, (breast.radius() + 1) / 2);
  write_gaps(canvas, window, breast.radius(), breast.canvas[0], breast.seeds, walls);
}

/// What is left when the gaps that filling did not reach are filled; canvas[0] holds those that it did.
__device__ inline void read_filled(const DeviceBreast& breast, const DeviceRectangle& window, const DeviceBits& to) {
  for_each_image_word(to, [&](std::int64_t at, std::int32_t y, std::int32_t column) {
    const bool is_row = window.y0 <= y && y < window.y1;
    to.words[at] = is_row ? bits_between(window.x0, window.x1, column) & ~breast.canvas[0].words[at] : 0;
  });
  __syncthreads();
}

// `bright`; that opened, into canvas[0]; and the edges at which a region counts double.
__global__ void __launch_bounds__(kBreastThreads) open_shape(DeviceBreast breast) {
  const DeviceRectangle window = area_window(breast);
  read_filled(breast, window, breast.bright);
  Canvas canvas{breast.canvas[0], breast.canvas[1]};
  for_each_image_word(breast.bright, [&](std::int64_t at, std::int32_t, std::int32_t) {
    canvas.now.words[at] = breast.bright.words[at];
  });
  __syncthreads();
  paint_opening(canvas, window, breast.radius(), false);
  for_each_image_word(breast.seeds, [&](std::int64_t at, std::int32_t y, std::int32_t column) {
    const std::uint32_t bits = canvas.read(y, column, window, 0);
    breast.seeds.words[at] =
        bits_between(window.x0, window.x0 + 1, column) | bits_between(window.x1 - 1, window.x1, column);
    breast.canvas[0].words[at] = bits;
  });
}

__device__ inline unsigned long long region_score(const DeviceBreast& breast, std::int32_t root) {
  return static_cast<unsigned long long>(breast.components.areas[root]) *
         (breast.components.flags[root] != 0 ? 2U : 1U);
}

__global__ void find_best(DeviceBreast breast) {
  for_each_root(breast.components, thread_number(),
                [&](std::int32_t root) { atomicMax(&breast.state->best, region_score(breast, root)); });
}

__global__ void flag_best(DeviceBreast breast) {
  for_each_root(breast.components, thread_number(), [&](std::int32_t root) {
    breast.components.flags[root] = region_score(breast, root) == breast.state->best ? 1 : 0;
  });
}

// The best region grown back within what is bright, smoothed; and where filling may come in.
__global__ void __launch_bounds__(kBreastThreads) grow_shape(DeviceBreast breast) {
  LCX_SHARED(Wall, walls, 2);
  const DeviceRectangle window = area_window(breast);
  const std::int64_t radius = breast.radius();
  Canvas canvas{breast.canvas[0], breast.canvas[1]};
  for (int step = 0; step < 2 * radius; ++step) {
    paint_step<false>(canvas, window, step, 0);
    for_each_window_word(window, [&](std::int32_t y, std::int32_t column, std::uint32_t) {
      const std::int64_t at = std::int64_t{y} * canvas.now.row_words + column;
      canvas.now.words[at] &= breast.bright.words[at];
    });
    __syncthreads();
  }
  paint_opening(canvas, window, radius / 4, true);
  paint_closing(canvas, window, radius);
  write_gaps(canvas, window, radius, breast.canvas[0], breast.seeds, walls);
}

__global__ void __launch_bounds__(kBreastThreads) end_shape(DeviceBreast breast) {
  read_filled(breast, area_window(breast), breast.canvas[0]);
}

/// Leaves in canvas[0] the regions of it that hold a seed.
void enqueue_reached(const DeviceBreast& breast, Stream stream) {
  enqueue_components(breast.components, Connectivity::kFour, stream);
  enqueue_flag_seeded(breast.components, breast.seeds, stream);
  enqueue_select_flagged(breast.components, breast.canvas[0], stream);
}

void enqueue_best_region(const DeviceBreast& breast, Stream stream) {
  const dim3 words = blocks_for(breast.canvas[0].word_count());
  enqueue_components(breast.components, Connectivity::kFour, stream);
  enqueue_flag_seeded(breast.components, breast.seeds, stream);
  enqueue_areas(breast.components, stream);
  LCX_LAUNCH(find_best, words, kThreadsPerBlock, 0, to_cuda(stream), breast);
  LCX_LAUNCH(flag_best, words, kThreadsPerBlock, 0, to_cuda(stream), breast);
  enqueue_select_flagged(breast.components, breast.canvas[0], stream);
}

}  // namespace

void enqueue_shape(const DeviceBreast& breast, Stream stream) {
  LCX_LAUNCH(begin_shape, 1, kBreastThreads, 0, to_cuda(stream), breast);
  enqueue_reached(breast, stream);
  LCX_LAUNCH(open_shape, 1, kBreastThreads, 0, to_cuda(stream), breast);
  enqueue_best_region(breast, stream);
  LCX_LAUNCH(grow_shape, 1, kBreastThreads, 0, to_cuda(stream), breast);
  enqueue_reached(breast, stream);
  LCX_LAUNCH(end_shape, 1, kBreastThreads, 0, to_cuda(stream), breast);
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace lcx::cuda
