#include "cuda_on_cpu/scheduler.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>

namespace cuda_on_cpu {
namespace {

constexpr std::size_t kSharedLimit = 48 * 1024;
constexpr std::size_t kDynamicSharedLimit = 227 * 1024;
constexpr std::uint64_t kTurnsPerThread = 10'000;  // on average, before a grid is said never to end
constexpr std::uint64_t kTurnsAtLeast = 5'000'000;
constexpr int kResidentBlocks = 4;  // under the random schedule

std::string text(dim3 at) {
  return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) + ")";
}

/// Small, fast, the same everywhere (xorshift64*).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2654435769U + 0x9E3779B97F4A7C15U) {}
  std::uint64_t below(std::uint64_t limit) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545F4914F6CDD1DU >> 33) % limit;
  }

 private:
  std::uint64_t state_;
};

class Grid {
 public:
  Grid(const Launch& launch, Schedule schedule) : launch_(launch), schedule_(schedule), random_(schedule.seed) {}

  std::string run();

  const Launch& launch() const { return launch_; }
  Thread* current = nullptr;
  Fiber scheduler;
  std::string error;

  bool is_random() const { return schedule_.kind == ScheduleKind::kRandom; }
  bool toss() { return random_.below(4) == 0; }

 private:
  void start_block();
  Thread* next_thread();
  void take_turn(Thread& thread);
  void settle(Thread& thread);
  void settle_rest_of_warp(Block& block, int first);
  void settle_collective(Block& block, const Thread& asker);
  void settle_barrier(Block& block);
  void make_ready(const std::vector<Thread*>& threads);
  void retire(Block& block);
  std::string stuck() const;

  const Launch& launch_;
  Schedule schedule_;
  Random random_;
  std::uint64_t started_ = 0;
  std::uint64_t turns_ = 0;
  std::vector<std::unique_ptr<Block>> resident_;
  std::deque<Thread*> ready_;
  std::vector<Thread*> members_;  // scratch of settle_collective
};

thread_local Grid* grid = nullptr;

/// Stacks for reuse; the last one given back is still in the cache.
struct StackPool {
  std::vector<char*> free;
  char* take() {
    if (free.empty()) return static_cast<char*>(std::aligned_alloc(4096, kStackBytes));
    char* stack = free.back();
    free.pop_back();
    return stack;
  }
  ~StackPool() {
    for (char* stack : free) std::free(stack);
  }
};
thread_local StackPool stacks;

void thread_main() {
  grid->launch().body();
  grid->current->wait = Wait::kDone;
  switch_fibers(grid->current->fiber, grid->scheduler);
  std::abort();
}

void Grid::start_block() {
  auto block = std::make_unique<Block>();
  const std::uint64_t total = launch_.grid.count();
  const std::uint64_t n = schedule_.kind == ScheduleKind::kReversed ? total - 1 - started_ : started_;
  ++started_;
  const auto gx = launch_.grid.x;
  const auto gy = launch_.grid.y;
  block->index = {static_cast<unsigned>(n % gx), static_cast<unsigned>(n / gx % gy),
                  static_cast<unsigned>(n / gx / gy)};
  block->threads.resize(launch_.block.count());
  block->live = static_cast<int>(block->threads.size());
  const std::size_t warps = (block->threads.size() + 31) / 32;
  block->waiting.assign(warps, 0);
  block->done.assign(warps, 0);
  if (block->live % 32 != 0) block->done.back() = ~0U << (block->live % 32);  // lanes that do not exist
  block->dynamic_shared.reset(new char[launch_.dynamic_shared + 16]);
  std::memset(block->dynamic_shared.get(), 0xA5, launch_.dynamic_shared);
  std::vector<Thread*> all;
  for (std::size_t i = 0; i < block->threads.size(); ++i) {
    Thread& thread = block->threads[i];
    const auto at = static_cast<unsigned>(i);
    thread.linear = static_cast<int>(i);
    thread.index = {at % launch_.block.x, at / launch_.block.x % launch_.block.y,
                    at / launch_.block.x / launch_.block.y};
    thread.block = block.get();
    all.push_back(&thread);
  }
  make_ready(all);
  resident_.push_back(std::move(block));
}

void Grid::make_ready(const std::vector<Thread*>& threads) {
  for (Thread* thread : threads) thread->wait = Wait::kNone;
  if (schedule_.kind == ScheduleKind::kReversed) {
    ready_.insert(ready_.end(), threads.rbegin(), threads.rend());
  } else {
    ready_.insert(ready_.end(), threads.begin(), threads.end());
  }
}

Thread* Grid::next_thread() {
  if (is_random()) {
    std::swap(ready_.front(), ready_[random_.below(ready_.size())]);
  }
  Thread* thread = ready_.front();
  ready_.pop_front();
  return thread;
}

void Grid::take_turn(Thread& thread) {
  if (thread.stack == nullptr) {
    thread.stack = stacks.take();
    prepare(thread.fiber, thread.stack, thread_main);
  }
  current = &thread;
  switch_fibers(scheduler, thread.fiber);
  current = nullptr;
}

std::string Grid::run() {
  const int most_resident = is_random() ? kResidentBlocks : 1;
  const std::uint64_t total = launch_.grid.count();
  const std::uint64_t most_turns = std::max(kTurnsAtLeast, kTurnsPerThread * total * launch_.block.count());
  while (error.empty()) {
    while (started_ < total && static_cast<int>(resident_.size()) < most_resident) start_block();
    if (ready_.empty()) {
      if (resident_.empty()) break;
      error = stuck();
      break;
    }
    Thread* thread = next_thread();
    take_turn(*thread);
    if (!error.empty()) break;
    if (++turns_ > most_turns) {
      error = "does not end: " + std::to_string(most_turns) + " turns were not enough";
      break;
    }
    settle(*thread);
  }
  for (auto& block : resident_) {
    for (Thread& thread : block->threads) {
      if (thread.stack != nullptr) stacks.free.push_back(thread.stack);
    }
  }
  return error;
}

// What a thread's turn ended in, and whom that sets free.
void Grid::settle(Thread& thread) {
  Block& block = *thread.block;
  switch (thread.wait) {
    case Wait::kNone:
      ready_.push_back(&thread);
      return;
    case Wait::kBarrier:
      ++block.at_barrier;
      settle_barrier(block);
      return;
    case Wait::kWarp:
      block.waiting[thread.linear / 32] |= 1U << thread.lane();
      settle_collective(block, thread);
      return;
    case Wait::kDone:
      block.done[thread.linear / 32] |= 1U << thread.lane();
      stacks.free.push_back(thread.stack);
      thread.stack = nullptr;
      if (--block.live == 0) {
        retire(block);
        return;
      }
      if (block.at_barrier == block.live) settle_barrier(block);
      if (block.waiting[thread.linear / 32] != 0) settle_rest_of_warp(block, thread.linear / 32 * 32);
      return;
  }
}

void Grid::retire(Block& block) {
  std::erase_if(resident_, [&](const auto& other) { return other.get() == &block; });
}

void Grid::settle_barrier(Block& block) {
  if (block.at_barrier != block.live) return;
  const auto total = static_cast<int>(block.threads.size());
  if (block.live != total) {
    error = "divergent barrier in block " + text(block.index) + ": " + std::to_string(total - block.live) + " of " +
            std::to_string(total) + " threads had ended";
    return;
  }
  std::vector<Thread*> all;
  for (Thread& thread : block.threads) {
    if (thread.where != block.threads[0].where) {
      error = "divergent barrier in block " + text(block.index) + ": threads wait in lines " +
              std::to_string(block.threads[0].where) + " and " + std::to_string(thread.where);
      return;
    }
    all.push_back(&thread);
  }
  block.any = block.flags_any;
  block.all = block.flags_all;
  block.count = block.flags_count;
  block.flags_any = block.flags_count = 0;
  block.flags_all = 1;
  block.at_barrier = 0;
  make_ready(all);
}

// A lane has ended: those that wait for it wait in vain.
void Grid::settle_rest_of_warp(Block& block, int first) {
  for (int i = first; i < std::min(first + 32, static_cast<int>(block.threads.size())) && error.empty(); ++i) {
    if (block.threads[i].wait == Wait::kWarp) settle_collective(block, block.threads[i]);
  }
}

// Lets the lanes that `asker` names go on, if they are all there.
void Grid::settle_collective(Block& block, const Thread& asker) {
  const unsigned mask = asker.mask;
  const int warp = asker.linear / 32;
  if (const unsigned missing = mask & block.done[warp]) {
    error = "a warp collective in block " + text(block.index) + " names lane " +
            std::to_string(std::countr_zero(missing)) + ", which has ended or does not exist";
    return;
  }
  if ((block.waiting[warp] & mask) != mask) return;
  std::vector<Thread*>& members = members_;
  members.clear();
  std::uint64_t ballot = 0;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    Thread& member = block.threads[warp * 32 + std::countr_zero(rest)];
    if (member.mask != mask || member.collective != asker.collective) return;
    ballot |= std::uint64_t{member.value != 0} << member.lane();
    members.push_back(&member);
  }
  for (Thread* member : members) {
    switch (member->collective) {
      case Collective::kSync:
        break;
      case Collective::kBallot:
        member->result = ballot;
        break;
      case Collective::kShuffle:
        if (!(mask >> member->source_lane & 1U)) {
          error = "a shuffle in block " + text(block.index) + " reads lane " + std::to_string(member->source_lane) +
                  ", which its mask leaves out";
          return;
        }
        member->result = block.threads[warp * 32 + member->source_lane].value;
        break;
      case Collective::kMatch:
        member->result = 0;
        for (const Thread* other : members) {
          member->result |= std::uint64_t{other->value == member->value} << other->lane();
        }
        break;
    }
  }
  block.waiting[warp] &= ~mask;
  make_ready(members);
}

std::string Grid::stuck() const {
  int barrier = 0;
  int warp = 0;
  for (const auto& block : resident_) {
    for (const Thread& thread : block->threads) {
      barrier += thread.wait == Wait::kBarrier ? 1 : 0;
      warp += thread.wait == Wait::kWarp ? 1 : 0;
    }
  }
  return "deadlock in block " + text(resident_.front()->index) + ": " + std::to_string(barrier) +
         " threads wait at a barrier, " + std::to_string(warp) + " in a warp collective that others do not reach";
}

}  // namespace

std::string run(const Launch& launch, Schedule schedule) {
  if (launch.dynamic_shared > kDynamicSharedLimit) return "too much dynamic shared memory";
  Grid* const outer = grid;
  Grid own(launch, schedule);
  grid = &own;
  std::string error = own.run();
  grid = outer;
  if (!error.empty()) error = std::string(launch.name) + ": " + error;
  return error;
}

bool in_kernel() { return grid != nullptr && grid->current != nullptr; }
Thread& current_thread() { return *grid->current; }
const Launch& current_launch() { return grid->launch(); }

std::string describe_current() {
  return "block " + text(current_thread().block->index) + ", thread " + text(current_thread().index);
}

void fail(const std::string& message) {
  grid->error = message;
  switch_fibers(grid->current->fiber, grid->scheduler);
  std::abort();
}

void give_way(bool waiting) {
  if (!in_kernel() || !(waiting || (grid->is_random() && grid->toss()))) return;
  switch_fibers(grid->current->fiber, grid->scheduler);
}

void block_barrier(std::source_location where) {
  Thread& thread = current_thread();
  Block& block = *thread.block;
  block.flags_any |= thread.flag;
  block.flags_all &= thread.flag;
  block.flags_count += thread.flag;
  thread.where = where.line();
  thread.wait = Wait::kBarrier;
  switch_fibers(thread.fiber, grid->scheduler);
}

std::uint64_t warp_collective(Collective kind, unsigned mask, std::uint64_t value, int source_lane) {
  Thread& thread = current_thread();
  if (!(mask >> thread.lane() & 1U)) {
    fail("a warp collective's mask leaves out its own caller, " + describe_current());
  }
  thread.collective = kind;
  thread.mask = mask;
  thread.value = value;
  thread.source_lane = source_lane;
  thread.wait = Wait::kWarp;
  switch_fibers(thread.fiber, grid->scheduler);
  return thread.result;
}

void* shared_memory(const void* site, std::size_t bytes) {
  Block& block = *current_thread().block;
  for (const SharedPiece& piece : block.shared) {
    if (piece.site == site) return piece.bytes.get();
  }
  block.shared_bytes += bytes;
  if (block.shared_bytes > kSharedLimit) fail("more than 48 KiB of static shared memory");
  block.shared.push_back({site, std::unique_ptr<char[]>(new char[bytes])});
  std::memset(block.shared.back().bytes.get(), 0xA5, bytes);
  return block.shared.back().bytes.get();
}

void* dynamic_shared_memory() { return current_thread().block->dynamic_shared.get(); }

}  // namespace cuda_on_cpu
