#pragma once

#include <cstddef>

namespace cuda_on_cpu {

/// A stack and the place where its work stands. Not a thread: it runs only while somebody switches to it.
struct Fiber {
  void* saved = nullptr;  ///< stack pointer, or a ucontext_t where the switch is not hand-written
};

constexpr std::size_t kStackBytes = 64 * 1024;

/// Makes `fiber` start in `entry` (which never returns) on the stack [stack, stack + kStackBytes) at its next switch.
void prepare(Fiber& fiber, char* stack, void (*entry)());

/// Leaves `from` where it stands and goes on with `to`.
void switch_fibers(Fiber& from, Fiber& to);

}  // namespace cuda_on_cpu
