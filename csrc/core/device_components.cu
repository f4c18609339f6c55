#include "core/device_components.cuh"

namespace lcx {
namespace {

constexpr int kWordsPerWarp = 8;  // eight loads of a lane in flight hide memory's latency
constexpr int kScanThreads = 1024;

struct IsNonzero {
  __device__ bool operator()(std::uint8_t value) const { return value != 0; }
};
struct IsAtLeast {
  float level;
  __device__ bool operator()(float value) const { return value >= level; }
};

// A warp makes eight words of a row: each ballot turns 32 neighbouring pixels, read together, into one word.
template <typename T, typename Low, typename High>
__global__ void pack_bits(TensorView<const T, 2> pixels, Low is_low, High is_high, DeviceBits low, DeviceBits high) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  const std::int64_t warp = thread_number() / 32;
  const std::int32_t row_chunks = (low.row_words + kWordsPerWarp - 1) / kWordsPerWarp;
  if (warp >= static_cast<std::int64_t>(low.height) * row_chunks) return;
  const auto y = static_cast<std::int32_t>(warp / row_chunks);
  const std::int32_t column = static_cast<std::int32_t>(warp % row_chunks) * kWordsPerWarp;
  const T* row = pixels.data + y * pixels.strides[0];
  T values[kWordsPerWarp];
  bool inside[kWordsPerWarp];
  for (int k = 0; k < kWordsPerWarp; ++k) {
    const std::int32_t x = 32 * (column + k) + lane;
    inside[k] = x < low.width;
    values[k] = inside[k] ? row[x * pixels.strides[1]] : T{};
  }
  std::uint32_t own_low = 0;
  std::uint32_t own_high = 0;
  for (int k = 0; k < kWordsPerWarp; ++k) {
    const std::uint32_t low_word = __ballot_sync(kAllLanes, inside[k] && is_low(values[k]));
    if (lane == k) own_low = low_word;
    if (high.words != nullptr) {
      const std::uint32_t high_word = __ballot_sync(kAllLanes, inside[k] && is_high(values[k]));
      if (lane == k) own_high = high_word;
    }
  }
  if (lane >= kWordsPerWarp || column + lane >= low.row_words) return;
  const std::int64_t at = static_cast<std::int64_t>(y) * low.row_words + column + lane;
  low.words[at] = own_low;
  if (high.words != nullptr) high.words[at] = own_high;
}

/// A bit for each of four bytes that is not 0.
__device__ inline std::uint32_t nonzero_bytes(std::uint32_t bytes) {
  const std::uint32_t flags = (((bytes & 0x7f7f7f7fU) + 0x7f7f7f7fU) | bytes) >> 7 & 0x01010101U;
  return flags * 0x01020408U >> 24;  // no two of the sixteen products share a bit
}

/// The bits of sixteen bytes of a row that is `width` long, from `x` on; 0 past its end.
__device__ inline std::uint32_t sixteen_bits(const std::uint8_t* row, std::int32_t x, std::int32_t width) {
  const std::uint8_t* at = row + x;
  const auto misaligned = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(at) & 15U);
  if (misaligned == 0 && x + 16 <= width) {
    const auto wide = *reinterpret_cast<const uint4*>(at);
    return nonzero_bytes(wide.x) | nonzero_bytes(wide.y) << 4 | nonzero_bytes(wide.z) << 8 |
           nonzero_bytes(wide.w) << 12;
  }
  std::uint32_t bits = 0;
  // Words of four bytes that begin up to three before ours: they must not leave the row.
  if (x >= 4 && x + 20 <= width) {
    const auto* words = reinterpret_cast<const std::uint32_t*>(at - (misaligned & 3U));
    std::uint32_t low = words[0];
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t high = words[k + 1];
      bits |= nonzero_bytes(__funnelshift_r(low, high, 8 * (misaligned & 3U))) << (4 * k);
      low = high;
    }
    return bits;
  }
  for (std::int32_t k = 0; k < 16 && x + k < width; ++k) bits |= (at[k] != 0 ? 1U : 0U) << k;
  return bits;
}

// Dense rows of bytes: a lane takes sixteen of them, and two lanes a word.
__global__ void pack_bytes(TensorView<const std::uint8_t, 2> pixels, DeviceBits bits) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  const std::int64_t warp = thread_number() / 32;
  const std::int32_t row_chunks = (bits.row_words + 15) / 16;
  if (warp >= static_cast<std::int64_t>(bits.height) * row_chunks) return;
  const std::int64_t y = warp / row_chunks;
  const std::int32_t column = static_cast<std::int32_t>(warp % row_chunks) * 16 + lane / 2;
  const std::uint32_t own =
      sixteen_bits(pixels.data + y * pixels.strides[0], 32 * column + 16 * (lane & 1), bits.width);
  const std::uint32_t next = __shfl_down_sync(kAllLanes, own, 1);
  if ((lane & 1) == 0 && column < bits.row_words) bits.words[y * bits.row_words + column] = own | next << 16;
}

__global__ void complement_bits(DeviceBits from, DeviceBits to) {
  const std::int64_t word = thread_number();
  if (word >= from.word_count()) return;
  to.words[word] = ~from.words[word] & inside_bits(from.width, static_cast<std::int32_t>(word % from.row_words));
}

// A warp goes along a row. A word that is not all ones decides where the run that leaves it begins; the last such word
// before a word decides its carry.
__global__ void start_runs(DeviceComponents components) {
  const DeviceBits& bits = components.bits;
  const int lane = static_cast<int>(threadIdx.x & 31);
  const std::int64_t y = thread_number() / 32;
  if (y >= bits.height) return;
  std::int32_t carried = 0;  // start of the run that enters the chunk
  for (std::int32_t first = 0; first < bits.row_words; first += 32) {
    const std::int32_t column = first + lane;
    const bool inside = column < bits.row_words;
    const WordWithNeighbours word =
        inside ? load_word(bits, static_cast<std::int32_t>(y), column) : WordWithNeighbours{0, 0, 0};
    std::int32_t leaving = word.bits == kAllLanes ? -1 : 32 * column + 32 - __clz(static_cast<int>(~word.bits));
    for (int step = 1; step < 32; step *= 2) {
      const std::int32_t other = __shfl_up_sync(kAllLanes, leaving, static_cast<unsigned>(step));
      if (lane >= step) leaving = max(leaving, other);
    }
    leaving = max(leaving, carried);
    const std::int32_t entering = __shfl_up_sync(kAllLanes, leaving, 1);
    if (inside) {
      const std::int64_t at = y * bits.row_words + column;
      components.carries[at] = lane == 0 ? carried : entering;
      for (std::uint32_t begins = begin_bits(word); begins; begins &= begins - 1) {
        const auto node = static_cast<std::int32_t>(at * 16 + (__ffs(static_cast<int>(begins)) - 1) / 2);
        components.parents[node] = node;
        if (components.flags != nullptr) components.flags[node] = 0;
        if (components.areas != nullptr) components.areas[node] = 0;
      }
    }
    carried = __shfl_sync(kAllLanes, leaving, 31);
  }
}

// The root of a node; shortens the way for those who come after. Writing an ancestor over a parent is safe beside
// `unite`: whoever replaced that parent in between goes on to unite the one it replaced.
__device__ inline std::int32_t find_root(std::int32_t* parents, std::int32_t node) {
  std::int32_t parent = load_fresh(parents + node);
  while (parent != node) {
    const std::int32_t above = load_fresh(parents + parent);
    if (above != parent) parents[node] = above;
    node = parent;
    parent = above;
  }
  return node;
}

// Joins two components. The greater root gets the lesser one as its parent, so that a component's root is its least
// node whatever the order of events.
__device__ inline void unite(std::int32_t* parents, std::int32_t a, std::int32_t b) {
  while (true) {
    a = find_root(parents, a);
    b = find_root(parents, b);
    if (a == b) return;
    const std::int32_t greater = max(a, b);
    const std::int32_t lesser = min(a, b);
    const std::int32_t old = atomicMin(parents + greater, lesser);
    if (old == greater) return;
    a = old;  // it had another parent by then, which is to be joined still
    b = lesser;
  }
}

// A word and the one above it: each pair of touching runs shows exactly one leftmost place where they touch.
__global__ void join_rows(DeviceComponents components, bool diagonals) {
  const DeviceBits& bits = components.bits;
  const std::int64_t at = thread_number();
  if (at >= bits.word_count()) return;
  const auto y = static_cast<std::int32_t>(at / bits.row_words);
  const auto column = static_cast<std::int32_t>(at % bits.row_words);
  if (y == 0 || bits.words[at] == 0) return;
  const WordWithNeighbours own = load_word(bits, y, column);
  const WordWithNeighbours above = load_word(bits, y - 1, column);
  const auto own_node = [&](int bit) { return node_at(components, y, column, own.bits, bit); };
  const WordWithNeighbours both{own.before & above.before, own.bits & above.bits, own.after & above.after};
  for (std::uint32_t rest = begin_bits(both); rest; rest &= rest - 1) {
    const int bit = __ffs(static_cast<int>(rest)) - 1;
    unite(components.parents, own_node(bit), node_at(components, y - 1, column, above.bits, bit));
  }
  if (!diagonals) return;
  for (std::uint32_t rest = own.bits & ~own.from_left() & ~above.bits & above.from_left(); rest; rest &= rest - 1) {
    const int bit = __ffs(static_cast<int>(rest)) - 1;
    const std::int32_t other = bit > 0 ? node_at(components, y - 1, column, above.bits, bit - 1)
                                       : node_at(components, y - 1, column - 1, above.before, 31);
    unite(components.parents, own_node(bit), other);
  }
  for (std::uint32_t rest = own.bits & ~own.from_right() & ~above.bits & above.from_right(); rest; rest &= rest - 1) {
    const int bit = __ffs(static_cast<int>(rest)) - 1;
    const std::int32_t other = bit < 31 ? node_at(components, y - 1, column, above.bits, bit + 1)
                                        : node_at(components, y - 1, column + 1, above.after, 0);
    unite(components.parents, own_node(bit), other);
  }
}

// Each run's parent becomes its root. Rows joined all at once leave chains as long as a component is high, so here too
// the way is shortened for the others; parents only ever decrease, and the root is the least node, so that no ancestor
// is written over a root.
__global__ void flatten(DeviceComponents components) {
  const std::int64_t at = thread_number();
  if (at >= components.bits.word_count() || components.bits.words[at] == 0) return;
  const auto y = static_cast<std::int32_t>(at / components.bits.row_words);
  const auto column = static_cast<std::int32_t>(at % components.bits.row_words);
  for (std::uint32_t rest = begin_bits(load_word(components.bits, y, column)); rest; rest &= rest - 1) {
    const auto node = static_cast<std::int32_t>(at * 16 + (__ffs(static_cast<int>(rest)) - 1) / 2);
    std::int32_t root = node;
    for (std::int32_t parent = load_fresh(components.parents + root); parent != root;) {
      const std::int32_t above = load_fresh(components.parents + parent);
      if (above != parent) atomicMin(components.parents + root, above);
      root = parent;
      parent = above;
    }
    if (root != node) atomicMin(components.parents + node, root);
  }
}

struct Roots {
  DeviceComponents components;
  std::int64_t min_area;

  /// Calls visit(node, whether it is kept) for each root in a word.
  template <typename Visit>
  __device__ void for_each(std::int64_t at, const Visit& visit) const {
    const std::int32_t* areas = components.areas;
    for_each_root(components, at, [&](std::int32_t node) { visit(node, areas == nullptr || areas[node] >= min_area); });
  }
};

// Inclusive sum over a block; every thread gets its own, and `total` the last one's.
__device__ inline std::int32_t block_scan(std::int32_t value, std::int32_t* warp_sums, std::int32_t* total) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  const int warp = static_cast<int>(threadIdx.x >> 5);
  const int warps = static_cast<int>(blockDim.x >> 5);
  for (int step = 1; step < 32; step *= 2) {
    const std::int32_t other = __shfl_up_sync(kAllLanes, value, static_cast<unsigned>(step));
    if (lane >= step) value += other;
  }
  if (lane == 31) warp_sums[warp] = value;
  __syncthreads();
  std::int32_t before = 0;
  std::int32_t all = 0;
  for (int k = 0; k < warps; ++k) {
    if (k < warp) before += warp_sums[k];
    all += warp_sums[k];
  }
  __syncthreads();
  *total = all;
  return before + value;
}

__global__ void count_roots(Roots roots, std::int32_t* block_sums) {
  LCX_SHARED(std::int32_t, warp_sums, kThreadsPerBlock / 32);
  std::int32_t own = 0;
  roots.for_each(thread_number(), [&](std::int32_t, bool kept) { own += kept ? 1 : 0; });
  std::int32_t total = 0;
  block_scan(own, warp_sums, &total);
  if (threadIdx.x == 0) block_sums[blockIdx.x] = total;
}

__global__ void number_roots(Roots roots, const std::int32_t* block_offsets, std::int32_t* numbers) {
  LCX_SHARED(std::int32_t, warp_sums, kThreadsPerBlock / 32);
  std::int32_t own = 0;
  roots.for_each(thread_number(), [&](std::int32_t, bool kept) { own += kept ? 1 : 0; });
  std::int32_t total = 0;
  std::int32_t next = block_offsets[blockIdx.x] + block_scan(own, warp_sums, &total) - own;
  roots.for_each(thread_number(), [&](std::int32_t node, bool kept) { numbers[node] = kept ? ++next : 0; });
}

__global__ void __launch_bounds__(kScanThreads)
    exclusive_scan(std::int32_t* sums, std::int32_t count, std::int32_t* total) {
  LCX_SHARED(std::int32_t, warp_sums, kScanThreads / 32);
  std::int32_t before = 0;
  for (std::int32_t first = 0; first < count; first += kScanThreads) {
    const std::int32_t at = first + static_cast<std::int32_t>(threadIdx.x);
    const std::int32_t own = at < count ? sums[at] : 0;
    std::int32_t all = 0;
    const std::int32_t scanned = block_scan(own, warp_sums, &all);
    if (at < count) sums[at] = before + scanned - own;
    before += all;
  }
  if (threadIdx.x == 0) *total = before;
}

__global__ void sum_blocks(const std::int32_t* values, std::int64_t count, std::int32_t* block_sums) {
  LCX_SHARED(std::int32_t, warp_sums, kThreadsPerBlock / 32);
  const std::int64_t at = thread_number();
  std::int32_t total = 0;
  block_scan(at < count ? values[at] : 0, warp_sums, &total);
  if (threadIdx.x == 0) block_sums[blockIdx.x] = total;
}

__global__ void scan_blocks(std::int32_t* values, std::int64_t count, const std::int32_t* block_offsets) {
  LCX_SHARED(std::int32_t, warp_sums, kThreadsPerBlock / 32);
  const std::int64_t at = thread_number();
  const std::int32_t own = at < count ? values[at] : 0;
  std::int32_t total = 0;
  const std::int32_t scanned = block_scan(own, warp_sums, &total);
  if (at < count) values[at] = block_offsets[blockIdx.x] + scanned - own;
}

template <typename T, typename Low, typename High>
void enqueue_pack(TensorView<const T, 2> pixels, Low is_low, High is_high, DeviceBits low, DeviceBits high,
                  Stream stream) {
  const std::int64_t warps =
      static_cast<std::int64_t>(low.height) * ((low.row_words + kWordsPerWarp - 1) / kWordsPerWarp);
  LCX_LAUNCH((pack_bits<T, Low, High>), warp_blocks_for(warps), kThreadsPerBlock, 0, to_cuda(stream), pixels, is_low,
             is_high, low, high);
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace

DeviceBits take_bits(Workspace& workspace, std::int64_t height, std::int64_t width) {
  const std::int64_t row_words = (width + 31) / 32;
  require_argument(height * row_words < (std::int64_t{1} << 27), "image of ", height, " x ", width,
                   " pixels; on a GPU at most 2^32, rows counted in multiples of 32");
  DeviceBits bits{nullptr, static_cast<std::int32_t>(height), static_cast<std::int32_t>(width),
                  static_cast<std::int32_t>(row_words)};
  bits.words = workspace.take<std::uint32_t>(bits.word_count());
  return bits;
}

DeviceComponents take_components(Workspace& workspace, DeviceBits bits) {
  return {bits, workspace.take<std::int32_t>(bits.word_count()), workspace.take<std::int32_t>(bits.node_count())};
}

std::uint8_t* take_flags(Workspace& workspace, DeviceBits bits) {
  return workspace.take<std::uint8_t>(bits.node_count());
}

std::int32_t* take_areas(Workspace& workspace, DeviceBits bits) {
  return workspace.take<std::int32_t>(bits.node_count());
}

void enqueue_nonzero_bits(TensorView<const std::uint8_t, 2> mask, DeviceBits bits, Stream stream) {
  if (mask.strides[1] != 1) {
    enqueue_pack(mask, IsNonzero{}, IsNonzero{}, bits, DeviceBits{}, stream);
    return;
  }
  const std::int64_t warps = static_cast<std::int64_t>(bits.height) * ((bits.row_words + 15) / 16);
  LCX_LAUNCH(pack_bytes, warp_blocks_for(warps), kThreadsPerBlock, 0, to_cuda(stream), mask, bits);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_threshold_bits(TensorView<const float, 2> map, float low, float high, DeviceBits low_bits,
                            DeviceBits high_bits, Stream stream) {
  enqueue_pack(map, IsAtLeast{low}, IsAtLeast{high}, low_bits, high_bits, stream);
}

void enqueue_complement(DeviceBits from, DeviceBits to, Stream stream) {
  LCX_LAUNCH(complement_bits, blocks_for(from.word_count()), kThreadsPerBlock, 0, to_cuda(stream), from, to);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_components(const DeviceComponents& components, Connectivity connectivity, Stream stream) {
  const DeviceBits& bits = components.bits;
  LCX_LAUNCH(start_runs, warp_blocks_for(bits.height), kThreadsPerBlock, 0, to_cuda(stream), components);
  LCX_LAUNCH(join_rows, blocks_for(bits.word_count()), kThreadsPerBlock, 0, to_cuda(stream), components,
             connectivity == Connectivity::kEight);
  LCX_LAUNCH(flatten, blocks_for(bits.word_count()), kThreadsPerBlock, 0, to_cuda(stream), components);
  LCX_CUDA_CHECK(cudaGetLastError());
}

DeviceNumbers take_numbers(Workspace& workspace, DeviceBits bits) {
  return {workspace.take<std::int32_t>(bits.node_count()), workspace.take<std::int32_t>(1),
          workspace.take<std::int32_t>(blocks_for(bits.word_count()).x)};
}

void enqueue_numbers(const DeviceComponents& components, std::int64_t min_area, const DeviceNumbers& numbers,
                     Stream stream) {
  const Roots roots{components, min_area};
  const dim3 blocks = blocks_for(components.bits.word_count());
  LCX_LAUNCH(count_roots, blocks, kThreadsPerBlock, 0, to_cuda(stream), roots, numbers.block_sums);
  enqueue_exclusive_scan(numbers.block_sums, static_cast<std::int32_t>(blocks.x), numbers.count, stream);
  LCX_LAUNCH(number_roots, blocks, kThreadsPerBlock, 0, to_cuda(stream), roots, numbers.block_sums, numbers.numbers);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_exclusive_scan(std::int32_t* sums, std::int32_t count, std::int32_t* total, Stream stream) {
  LCX_LAUNCH(exclusive_scan, 1, kScanThreads, 0, to_cuda(stream), sums, count, total);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_long_scan(std::int32_t* values, std::int64_t count, std::int32_t* scratch, std::int32_t* total,
                       Stream stream) {
  const dim3 blocks = blocks_for(count);
  LCX_LAUNCH(sum_blocks, blocks, kThreadsPerBlock, 0, to_cuda(stream), values, count, scratch);
  enqueue_exclusive_scan(scratch, static_cast<std::int32_t>(blocks.x), total, stream);
  LCX_LAUNCH(scan_blocks, blocks, kThreadsPerBlock, 0, to_cuda(stream), values, count, scratch);
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace lcx
