#include "core/device_select.cuh"

namespace lcx {
namespace {

/// A stretch of set bits within one word.
struct Stretch {
  int first;
  std::uint32_t bits;
};

/// Calls visit(root, stretch) for each stretch of foreground in a word.
template <typename Visit>
__device__ inline void for_each_stretch(const DeviceComponents& components, std::int64_t at, const Visit& visit) {
  const DeviceBits& bits = components.bits;
  if (at >= bits.word_count()) return;
  const std::uint32_t word = bits.words[at];
  const auto y = static_cast<std::int32_t>(at / bits.row_words);
  const auto column = static_cast<std::int32_t>(at % bits.row_words);
  for (std::uint32_t rest = word; rest;) {
    const int first = __ffs(static_cast<int>(rest)) - 1;
    // Adding the lowest bit carries through the stretch and stops behind it.
    const std::uint32_t stretch = rest & ~(rest + (1U << first));
    rest &= ~stretch;
    visit(components.parents[node_at(components, y, column, word, first)], Stretch{first, stretch});
  }
}

struct InSeeds {
  DeviceBits seeds;
  __device__ std::uint32_t operator()(std::int64_t at) const { return seeds.words[at]; }
};
struct OnBorder {
  DeviceBits bits;
  __device__ std::uint32_t operator()(std::int64_t at) const {
    const auto y = static_cast<std::int32_t>(at / bits.row_words);
    const auto column = static_cast<std::int32_t>(at % bits.row_words);
    if (y == 0 || y == bits.height - 1) return kAllLanes;
    return (column == 0 ? 1U : 0U) | (column == bits.row_words - 1 ? 1U << ((bits.width - 1) & 31) : 0U);
  }
};

// Several threads may set one flag: to the same value.
template <typename Seeds>
__global__ void flag_roots(DeviceComponents components, Seeds seeds) {
  const std::int64_t at = thread_number();
  if (at >= components.bits.word_count() || (components.bits.words[at] & seeds(at)) == 0) return;
  const std::uint32_t seed_bits = seeds(at);
  for_each_stretch(components, at, [&](std::int32_t root, Stretch stretch) {
    if (stretch.bits & seed_bits) components.flags[root] = 1;
  });
}

template <typename T>
__global__ void select_roots(DeviceComponents components, const T* chosen, DeviceBits to) {
  const std::int64_t at = thread_number();
  if (at >= to.word_count()) return;
  std::uint32_t kept = 0;
  for_each_stretch(components, at, [&](std::int32_t root, Stretch stretch) {
    if (chosen[root] != 0) kept |= stretch.bits;
  });
  // Carries are of the old bits, but each thread looks only at its own word of them.
  to.words[at] = kept;
}

// One huge component would have every thread add to one address, so a warp whose first stretches are all of one
// component adds once.
__global__ void add_areas(DeviceComponents components) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  std::int32_t root = -1;
  std::int32_t area = 0;
  for_each_stretch(components, thread_number(), [&](std::int32_t next, Stretch stretch) {
    if (next != root && root >= 0) {
      atomicAdd(components.areas + root, area);
      area = 0;
    }
    root = next;
    area += __popc(stretch.bits);
  });
  const unsigned peers = __match_any_sync(kAllLanes, root);
  if (peers == kAllLanes) {
    for (int step = 16; step > 0; step /= 2) area += __shfl_xor_sync(kAllLanes, area, step);
    if (lane != 0) return;
  }
  if (root >= 0) atomicAdd(components.areas + root, area);
}

/// Four bytes of 0 or 1 from the lowest four bits.
__device__ inline std::uint32_t bytes_of_bits(std::uint32_t bits) {
  return ((bits & 0xfU) * 0x00204081U) & 0x01010101U;
}

// A lane writes the sixteen bytes of half a word where rows are aligned for it, else a warp writes a word's 32 bytes in
// turn, so that either way what a warp writes lies side by side.
__global__ void unpack_bits(DeviceBits bits, TensorView<std::uint8_t, 2> mask) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  const std::int32_t row_chunks = (bits.row_words + 15) / 16;
  const std::int64_t warp = thread_number() / 32;
  if (warp >= static_cast<std::int64_t>(bits.height) * row_chunks) return;
  const std::int64_t y = warp / row_chunks;
  const std::int32_t first = static_cast<std::int32_t>(warp % row_chunks) * 16;
  std::uint8_t* row = mask.data + y * mask.strides[0];
  const std::int32_t column = first + lane / 2;
  const std::uint32_t own = column < bits.row_words ? bits.words[y * bits.row_words + column] : 0;
  const bool is_aligned = (reinterpret_cast<std::uintptr_t>(row) & 15U) == 0;
  const std::int32_t x = 32 * column + 16 * (lane & 1);
  if (is_aligned && x + 16 <= bits.width) {
    const std::uint32_t half = lane & 1 ? own >> 16 : own;
    *reinterpret_cast<uint4*>(row + x) =
        make_uint4(bytes_of_bits(half), bytes_of_bits(half >> 4), bytes_of_bits(half >> 8), bytes_of_bits(half >> 12));
  }
  const std::int32_t done = is_aligned ? bits.width / 16 * 16 : 0;
  for (int k = 0; k < 16; ++k) {
    const std::uint32_t word = __shfl_sync(kAllLanes, own, 2 * k);
    const std::int32_t at = 32 * (first + k) + lane;
    if (at >= done && at < bits.width) row[at] = static_cast<std::uint8_t>(word >> lane & 1U);
  }
}

template <typename Seeds>
void enqueue_flags(const DeviceComponents& components, const Seeds& seeds, Stream stream) {
  LCX_LAUNCH(flag_roots<Seeds>, blocks_for(components.bits.word_count()), kThreadsPerBlock, 0, to_cuda(stream),
             components, seeds);
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace

void enqueue_flag_seeded(const DeviceComponents& components, DeviceBits seeds, Stream stream) {
  enqueue_flags(components, InSeeds{seeds}, stream);
}

void enqueue_flag_border(const DeviceComponents& components, Stream stream) {
  enqueue_flags(components, OnBorder{components.bits}, stream);
}

void enqueue_select_flagged(const DeviceComponents& components, DeviceBits to, Stream stream) {
  LCX_LAUNCH(select_roots<std::uint8_t>, blocks_for(to.word_count()), kThreadsPerBlock, 0, to_cuda(stream), components,
             components.flags, to);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_select_numbered(const DeviceComponents& components, const std::int32_t* numbers, DeviceBits to,
                             Stream stream) {
  LCX_LAUNCH(select_roots<std::int32_t>, blocks_for(to.word_count()), kThreadsPerBlock, 0, to_cuda(stream), components,
             numbers, to);
  LCX_CUDA_CHECK(cudaGetLastError());
}

void enqueue_areas(const DeviceComponents& components, Stream stream) {
  LCX_LAUNCH(add_areas, blocks_for(components.bits.word_count()), kThreadsPerBlock, 0, to_cuda(stream), components);
  LCX_CUDA_CHECK(cudaGetLastError());
}

DeviceFill take_fill(Workspace& workspace, DeviceBits bits) {
  DeviceFill fill;
  fill.background = take_bits(workspace, bits.height, bits.width);
  fill.components = take_components(workspace, fill.background);
  fill.components.flags = take_flags(workspace, bits);
  return fill;
}

void enqueue_fill(DeviceBits bits, const DeviceFill& scratch, Stream stream) {
  enqueue_complement(bits, scratch.background, stream);
  enqueue_components(scratch.components, Connectivity::kFour, stream);
  enqueue_flag_border(scratch.components, stream);
  enqueue_select_flagged(scratch.components, scratch.background, stream);
  enqueue_complement(scratch.background, bits, stream);
}

void enqueue_unpack(DeviceBits bits, TensorView<std::uint8_t, 2> mask, Stream stream) {
  const std::int64_t warps = static_cast<std::int64_t>(bits.height) * ((bits.row_words + 15) / 16);
  LCX_LAUNCH(unpack_bits, warp_blocks_for(warps), kThreadsPerBlock, 0, to_cuda(stream), bits, mask);
  LCX_CUDA_CHECK(cudaGetLastError());
}

}  // namespace lcx
