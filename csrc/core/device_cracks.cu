#include "core/device_cracks.cuh"

namespace lcx {
namespace {

constexpr std::uint32_t kNone = ~0U;
constexpr int kEast = 0;
constexpr int kNorth = 3;
/// Up to so many cracks are ranked by one block.
constexpr std::int32_t kOneBlockCracks = 1 << 14;
constexpr int kOneBlockThreads = 1024;

/// The cracks of a word's pixels, by heading.
struct WordCracks {
  std::uint32_t edges[4];
  __device__ int count() const { return __popc(edges[0]) + __popc(edges[1]) + __popc(edges[2]) + __popc(edges[3]); }
};

// Heading east the background is above, south to the right, west below, north to the left.
__device__ inline WordCracks cracks_of_word(const DeviceBits& bits, std::int32_t y, std::int32_t column) {
  const WordWithNeighbours own = load_word(bits, y, column);
  if (own.bits == 0) return {{0, 0, 0, 0}};
  const std::uint32_t above = load_word(bits, y - 1, column).bits;
  const std::uint32_t below = load_word(bits, y + 1, column).bits;
  return {{own.bits & ~above, own.bits & ~own.from_right(), own.bits & ~below, own.bits & ~own.from_left()}};
}

__device__ inline WordCracks cracks_of_word(const DeviceBits& bits, std::int64_t at) {
  return cracks_of_word(bits, static_cast<std::int32_t>(at / bits.row_words),
                        static_cast<std::int32_t>(at % bits.row_words));
}

/// The number of a crack: those of a word follow each other by heading, then by pixel.
__device__ inline std::int32_t crack_number(const DeviceCracks& cracks, std::int32_t y, std::int32_t x, int heading) {
  const std::int64_t at = static_cast<std::int64_t>(y) * cracks.bits.row_words + (x >> 5);
  const WordCracks word = cracks_of_word(cracks.bits, y, x >> 5);
  std::int32_t number = cracks.offsets[at];
  for (int h = 0; h < heading; ++h) number += __popc(word.edges[h]);
  return number + __popc(word.edges[heading] & low_bits(x & 31));
}

__device__ inline bool is_set(const DeviceBits& bits, std::int32_t y, std::int32_t x) {
  if (y < 0 || y >= bits.height || x < 0 || x >= bits.width) return false;
  return bits.words[static_cast<std::int64_t>(y) * bits.row_words + (x >> 5)] >> (x & 31) & 1U;
}

/// 0 where there are more than fit: then only the total is of use, and the steps that follow have nothing to do.
__device__ inline std::int32_t crack_count(const DeviceCracks& cracks) {
  return *cracks.total <= cracks.capacity ? *cracks.total : 0;
}

__global__ void count_cracks(DeviceCracks cracks) {
  const std::int64_t at = thread_number();
  if (at < cracks.bits.word_count()) cracks.offsets[at] = cracks_of_word(cracks.bits, at).count();
}

// --- Each crack and its successor ---

__global__ void link_cracks(DeviceCracks cracks, CrackPoint point) {
  const std::int64_t at = thread_number();
  if (at >= cracks.bits.word_count() || cracks.bits.words[at] == 0 || crack_count(cracks) == 0) return;
  const DeviceBits& bits = cracks.bits;
  const auto y = static_cast<std::int32_t>(at / bits.row_words);
  const auto column = static_cast<std::int32_t>(at % bits.row_words);
  const WordCracks word = cracks_of_word(bits, y, column);
  std::int32_t number = cracks.offsets[at];
  for (int heading = 0; heading < 4; ++heading) {
    for (std::uint32_t rest = word.edges[heading]; rest; rest &= rest - 1, ++number) {
      const int bit = __ffs(static_cast<int>(rest)) - 1;
      const std::int32_t x = 32 * column + bit;
      const int left = (heading + 3) & 3;
      const std::int32_t ahead_y = y + heading_y(heading);
      const std::int32_t ahead_x = x + heading_x(heading);
      std::int32_t next_y = y;
      std::int32_t next_x = x;
      int next_heading = (heading + 1) & 3;
      if (is_set(bits, ahead_y + heading_y(left), ahead_x + heading_x(left))) {
        next_y = ahead_y + heading_y(left);
        next_x = ahead_x + heading_x(left);
        next_heading = left;
      } else if (is_set(bits, ahead_y, ahead_x)) {
        next_y = ahead_y;
        next_x = ahead_x;
        next_heading = heading;
      }
      const std::int32_t next = crack_number(cracks, next_y, next_x, next_heading);
      cracks.pixels[number] = static_cast<std::uint32_t>(32 * at + bit);
      cracks.headings[number] = static_cast<std::uint8_t>(heading);
      cracks.successors[number] = next;
      // Each crack has one predecessor, so one thread writes this.
      cracks.weights[next] = point == CrackPoint::kEach || next_heading != heading ? 1 : 0;
    }
  }
}

// --- Heads ---

__global__ void start_leads(DeviceCracks cracks) {
  const std::int64_t k = thread_number();
  if (k >= crack_count(cracks)) return;
  cracks.leads[0][k] = cracks.headings[k] == kNorth ? cracks.pixels[k] : kNone;
  cracks.jumps[0][k] = cracks.successors[k];
}

// Pointer doubling in one block: as many rounds as the cracks that there are ask for, an even number. A barrier costs
// less than a launch, and a film has a few hundred or thousand cracks.
template <typename Double>
__device__ inline void double_at_once(const DeviceCracks& cracks, const Double& double_one) {
  const std::int64_t count = crack_count(cracks);
  for (std::int64_t reach = 1; reach < count; reach *= 4) {
    for (int from = 0; from < 2; ++from) {
      for (std::int64_t k = threadIdx.x; k < count; k += kOneBlockThreads) double_one(from, k);
      __syncthreads();
    }
  }
}

__device__ inline void double_lead(const DeviceCracks& cracks, int from, std::int64_t k) {
  const std::int32_t ahead = cracks.jumps[from][k];
  cracks.leads[1 - from][k] = min(cracks.leads[from][k], cracks.leads[from][ahead]);
  cracks.jumps[1 - from][k] = cracks.jumps[from][ahead];
}

__global__ void double_leads(DeviceCracks cracks, int from) {
  const std::int64_t k = thread_number();
  if (k < crack_count(cracks)) double_lead(cracks, from, k);
}

__global__ void __launch_bounds__(kOneBlockThreads) lead_at_once(DeviceCracks cracks) {
  double_at_once(cracks, [&](int from, std::int64_t k) { double_lead(cracks, from, k); });
}

// With kFirstLeftEdge the lead is the head's pixel. With kFirstPixel only the head knows, and the others learn it from
// the last crack once that is known.
__global__ void find_heads(DeviceCracks cracks, CrackHead head, int lead, DeviceComponents components,
                           const std::int32_t* numbers) {
  const std::int64_t k = thread_number();
  if (k >= crack_count(cracks)) return;
  if (head == CrackHead::kFirstLeftEdge) {
    cracks.heads[k] = cracks.leads[lead][k];
    return;
  }
  cracks.heads[k] = kNone;
  if (cracks.headings[k] != kEast) return;
  const std::uint32_t pixel = cracks.pixels[k];
  const DeviceBits& bits = components.bits;
  const std::int64_t at = pixel >> 5;
  const auto y = static_cast<std::int32_t>(at / bits.row_words);
  const auto column = static_cast<std::int32_t>(at % bits.row_words);
  const auto bit = static_cast<int>(pixel & 31U);
  const std::uint32_t word = bits.words[at];
  const std::int32_t begin = run_begin(word, column, bit, components.carries[at]);
  const std::int32_t node = run_node(bits, y, begin);
  const bool is_first = begin == 32 * column + bit && components.parents[node] == node && numbers[node] > 0;
  if (is_first) cracks.heads[k] = pixel;
}

// --- Ranks ---

__device__ inline bool is_head(const DeviceCracks& cracks, std::int32_t k, int heading) {
  return cracks.headings[k] == heading && cracks.heads[k] == cracks.pixels[k];
}

__global__ void start_ranks(DeviceCracks cracks, int head_heading) {
  const std::int64_t k = thread_number();
  if (k >= crack_count(cracks)) return;
  const std::int32_t next = cracks.successors[k];
  const bool is_last = is_head(cracks, next, head_heading);
  cracks.jumps[0][k] = is_last ? static_cast<std::int32_t>(k) : next;
  cracks.sums[0][k] = is_last ? 0 : cracks.weights[k];
  cracks.areas[k] = 0;
}

__device__ inline void double_rank(const DeviceCracks& cracks, int from, std::int64_t k) {
  const std::int32_t ahead = cracks.jumps[from][k];
  // A last crack points at itself and its sum is 0. A boundary without a head goes round and round, to no effect.
  cracks.sums[1 - from][k] = cracks.sums[from][k] + (ahead == k ? 0 : cracks.sums[from][ahead]);
  cracks.jumps[1 - from][k] = cracks.jumps[from][ahead];
}

__global__ void double_ranks(DeviceCracks cracks, int from) {
  const std::int64_t k = thread_number();
  if (k < crack_count(cracks)) double_rank(cracks, from, k);
}

__global__ void __launch_bounds__(kOneBlockThreads) rank_at_once(DeviceCracks cracks) {
  double_at_once(cracks, [&](int from, std::int64_t k) { double_rank(cracks, from, k); });
}

__global__ void finish_ranks(DeviceCracks cracks, int head_heading) {
  const std::int64_t k = thread_number();
  if (k >= crack_count(cracks)) return;
  const std::int32_t last = cracks.jumps[0][k];
  const std::int32_t first = cracks.successors[last];
  const bool has_head = cracks.jumps[0][last] == last && is_head(cracks, first, head_heading);
  if (!has_head) {
    cracks.heads[k] = kNone;
    return;
  }
  // Others read the head's own entry, which stays what it is.
  if (k != first) cracks.heads[k] = cracks.pixels[first];
  if (head_heading != kNorth) return;  // outer boundaries only: nobody asks for the sign of their area
  const auto heading = static_cast<int>(cracks.headings[k]);
  const std::int64_t at = cracks.pixels[k] >> 5;
  const std::int64_t y = at / cracks.bits.row_words + (heading == 2 || heading == 3 ? 1 : 0);
  const std::int64_t x = at % cracks.bits.row_words * 32 + (cracks.pixels[k] & 31U) + (heading == 1 || heading == 2);
  const std::int64_t part = x * heading_y(heading) - y * heading_x(heading);
  atomicAdd(reinterpret_cast<unsigned long long*>(cracks.areas + last), static_cast<unsigned long long>(part));
}

// --- Boundaries, in raster order ---

/// Calls visit(last crack, points) for each boundary that begins in a word.
template <typename Visit>
__device__ inline void for_each_loop(const DeviceCracks& cracks, int head_heading, std::int64_t at,
                                     const Visit& visit) {
  if (at >= cracks.bits.word_count() || cracks.bits.words[at] == 0) return;
  const WordCracks word = cracks_of_word(cracks.bits, at);
  std::int32_t number = cracks.offsets[at];
  for (int h = 0; h < head_heading; ++h) number += __popc(word.edges[h]);
  for (std::uint32_t rest = word.edges[head_heading]; rest; rest &= rest - 1, ++number) {
    if (number >= crack_count(cracks) || cracks.heads[number] != cracks.pixels[number]) continue;
    const std::int32_t last = cracks.jumps[0][number];
    visit(last, cracks.sums[0][number] + cracks.weights[last]);
  }
}

__global__ void count_loops(DeviceCracks cracks, int head_heading) {
  const std::int64_t at = thread_number();
  if (at >= cracks.bits.word_count()) return;
  std::int32_t loops = 0;
  std::int32_t points = 0;
  for_each_loop(cracks, head_heading, at, [&](std::int32_t, std::int32_t own) {
    ++loops;
    points += own;
  });
  cracks.loop_numbers[at] = loops;
  cracks.loop_points[at] = points;
}

__global__ void place_loops(DeviceCracks cracks, int head_heading, std::int32_t loop_capacity,
                            std::int32_t* loop_offsets, std::uint8_t* is_hole) {
  const std::int64_t at = thread_number();
  if (at == 0 && *cracks.loop_total <= loop_capacity) loop_offsets[*cracks.loop_total] = *cracks.point_total;
  if (at >= cracks.bits.word_count()) return;
  std::int32_t loop = cracks.loop_numbers[at];
  std::int32_t start = cracks.loop_points[at];
  for_each_loop(cracks, head_heading, at, [&](std::int32_t last, std::int32_t points) {
    cracks.starts[last] = start;
    if (loop < loop_capacity) {
      loop_offsets[loop] = start;
      if (is_hole != nullptr) is_hole[loop] = cracks.areas[last] < 0 ? 1 : 0;
    }
    ++loop;
    start += points;
  });
}

int rounds_for(std::int32_t capacity) {
  int rounds = 0;
  while ((std::int64_t{1} << rounds) < capacity) ++rounds;
  return rounds + rounds % 2;  // an even number ends where it began
}

int heading_of(CrackHead head) { return head == CrackHead::kFirstLeftEdge ? kNorth : kEast; }

}  // namespace

DeviceCracks take_cracks(Workspace& workspace, DeviceBits bits, std::int32_t capacity) {
  DeviceCracks cracks;
  cracks.bits = bits;
  cracks.capacity = capacity;
  cracks.offsets = workspace.take<std::int32_t>(bits.word_count());
  cracks.block_sums = workspace.take<std::int32_t>(scan_scratch(bits.word_count()));
  cracks.total = workspace.take<std::int32_t>(1);
  cracks.pixels = workspace.take<std::uint32_t>(capacity);
  cracks.headings = workspace.take<std::uint8_t>(capacity);
  cracks.successors = workspace.take<std::int32_t>(capacity);
  cracks.weights = workspace.take<std::int32_t>(capacity);
  cracks.heads = workspace.take<std::uint32_t>(capacity);
  for (int k = 0; k < 2; ++k) {
    cracks.jumps[k] = workspace.take<std::int32_t>(capacity);
    cracks.sums[k] = workspace.take<std::int32_t>(capacity);
    cracks.leads[k] = workspace.take<std::uint32_t>(capacity);
  }
  cracks.loop_points = workspace.take<std::int32_t>(bits.word_count());
  cracks.loop_numbers = workspace.take<std::int32_t>(bits.word_count());
  cracks.point_total = workspace.take<std::int32_t>(1);
  cracks.loop_total = workspace.take<std::int32_t>(1);
  cracks.starts = workspace.take<std::int32_t>(capacity);
  cracks.areas = workspace.take<long long>(capacity);
  return cracks;
}

void enqueue_cracks(const DeviceCracks& cracks, CrackHead head, CrackPoint point, const DeviceComponents& components,
                    const std::int32_t* numbers, Stream stream) {
  const dim3 words = blocks_for(cracks.bits.word_count());
  const dim3 each = blocks_for(cracks.capacity);
  const bool is_small = cracks.capacity <= kOneBlockCracks;
  const int rounds = is_small ? 0 : rounds_for(cracks.capacity);
  const auto on = to_cuda(stream);
  LCX_LAUNCH(count_cracks, words, kThreadsPerBlock, 0, on, cracks);
  enqueue_long_scan(cracks.offsets, cracks.bits.word_count(), cracks.block_sums, cracks.total, stream);
  LCX_LAUNCH(link_cracks, words, kThreadsPerBlock, 0, on, cracks, point);
  if (head == CrackHead::kFirstLeftEdge) {
    LCX_LAUNCH(start_leads, each, kThreadsPerBlock, 0, on, cracks);
    if (is_small) LCX_LAUNCH(lead_at_once, 1, kOneBlockThreads, 0, on, cracks);
    for (int k = 0; k < rounds; ++k) LCX_LAUNCH(double_leads, each, kThreadsPerBlock, 0, on, cracks, k % 2);
  }
  LCX_LAUNCH(find_heads, each, kThreadsPerBlock, 0, on, cracks, head, 0, components, numbers);
  LCX_LAUNCH(start_ranks, each, kThreadsPerBlock, 0, on, cracks, heading_of(head));
  if (is_small) LCX_LAUNCH(rank_at_once, 1, kOneBlockThreads, 0, on, cracks);
  for (int k = 0; k < rounds; ++k) LCX_LAUNCH(double_ranks, each, kThreadsPerBlock, 0, on, cracks, k % 2);
  LCX_LAUNCH(finish_ranks, each, kThreadsPerBlock, 0, on, cracks, heading_of(head));
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_loops(const DeviceCracks& cracks, CrackHead head, std::int32_t loop_capacity, std::int32_t* loop_offsets,
                   std::uint8_t* is_hole, Stream stream) {
  const dim3 words = blocks_for(cracks.bits.word_count());
  LCX_LAUNCH(count_loops, words, kThreadsPerBlock, 0, to_cuda(stream), cracks, heading_of(head));
  enqueue_long_scan(cracks.loop_numbers, cracks.bits.word_count(), cracks.block_sums, cracks.loop_total, stream);
  enqueue_long_scan(cracks.loop_points, cracks.bits.word_count(), cracks.block_sums, cracks.point_total, stream);
  LCX_LAUNCH(place_loops, words, kThreadsPerBlock, 0, to_cuda(stream), cracks, heading_of(head), loop_capacity,
             loop_offsets, is_hole);
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace lcx
