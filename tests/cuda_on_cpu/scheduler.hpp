#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "cuda_on_cpu/fiber.hpp"

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr std::uint64_t count() const { return std::uint64_t{x} * y * z; }
};

namespace cuda_on_cpu {

// Note [Threads as fibers]
// A CUDA thread is a fiber. It runs until it waits (at a barrier or in a warp collective), yields, or ends; nothing
// else interrupts it, so a schedule is the order in which fibers get their turn. CUDA promises nothing about that
// order: a kernel whose result depends on it has a race, and running it under several schedules shows it.
//   in order   one block after another, threads ascending
//   reversed   blocks and threads descending
//   random     four blocks at once, whoever comes; atomics and load_fresh sometimes give way to others
// What CUDA forbids is an error here, with a message: a barrier that not all threads of the block reach, threads of
// one block in different barriers, a warp collective that a named lane never reaches, deadlock, no end.

enum class ScheduleKind { kInOrder, kReversed, kRandom };

struct Schedule {
  ScheduleKind kind = ScheduleKind::kInOrder;
  std::uint64_t seed = 0;
};

enum class Wait : std::uint8_t { kNone, kBarrier, kWarp, kDone };
enum class Collective : std::uint8_t { kSync, kBallot, kShuffle, kMatch };

struct Block;

/// One CUDA thread.
struct Thread {
  Fiber fiber;
  dim3 index{0, 0, 0};
  int linear = 0;
  Wait wait = Wait::kNone;
  Block* block = nullptr;
  char* stack = nullptr;
  unsigned where = 0;        ///< line of the barrier it waits at
  Collective collective{};   ///< it waits in
  unsigned mask = 0;         ///< lanes the collective names
  int source_lane = 0;       ///< of a shuffle
  std::uint64_t value = 0;   ///< given to the collective
  std::uint64_t result = 0;  ///< got from it
  int flag = 0;              ///< given to __syncthreads_or and its like

  int lane() const { return linear & 31; }
};

struct SharedPiece {
  const void* site;
  std::unique_ptr<char[]> bytes;
};

/// One CUDA block that has begun.
struct Block {
  dim3 index{0, 0, 0};
  std::vector<Thread> threads;
  int live = 0;
  int at_barrier = 0;
  std::vector<unsigned> waiting;  ///< per warp: lanes in a collective
  std::vector<unsigned> done;     ///< per warp: lanes that have ended
  std::vector<SharedPiece> shared;
  std::size_t shared_bytes = 0;
  std::unique_ptr<char[]> dynamic_shared;
  int flags_any = 0, flags_all = 1, flags_count = 0;  ///< being gathered at a barrier
  int any = 0, all = 0, count = 0;                    ///< of the last barrier
};

struct Launch {
  const char* name = "";
  dim3 grid;
  dim3 block;
  std::size_t dynamic_shared = 0;
  std::function<void()> body;
};

/// Runs all of a grid. Returns what went wrong, or nothing.
std::string run(const Launch& launch, Schedule schedule);

/// Whether the caller is a CUDA thread.
bool in_kernel();
Thread& current_thread();
const Launch& current_launch();

/// Ends the grid that the calling thread belongs to; `message` becomes its error.
[[noreturn]] void fail(const std::string& message);

/// Lets others go first: always where `waiting` (a thread in a loop that waits for another), else by the schedule.
void give_way(bool waiting);

void block_barrier(std::source_location where);
std::uint64_t warp_collective(Collective kind, unsigned mask, std::uint64_t value, int source_lane);

/// `bytes` shared by the block's threads, one piece for each call site.
void* shared_memory(const void* site, std::size_t bytes);
void* dynamic_shared_memory();

/// Where the calling thread is, for messages.
std::string describe_current();

}  // namespace cuda_on_cpu
