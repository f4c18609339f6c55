#include "cuda_on_cpu/fiber.hpp"

#include <cstdint>
#include <cstdlib>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace cuda_on_cpu {
namespace {

// Frames that were abandoned on this stack (a failed kernel's) leave AddressSanitizer's marks behind.
void forget_old_frames([[maybe_unused]] char* stack) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack, kStackBytes);
#endif
}

}  // namespace

#if defined(__x86_64__)

// swapcontext would make a system call for the signal mask at each switch: some 20 times slower. Only what a function
// must preserve is saved; the switch itself is the return into the other fiber.
extern "C" void cuda_on_cpu_switch(void** save, void* to);
asm(R"(
.text
.globl cuda_on_cpu_switch
.hidden cuda_on_cpu_switch
.type cuda_on_cpu_switch, @function
cuda_on_cpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_on_cpu_switch, .-cuda_on_cpu_switch
)");

void prepare(Fiber& fiber, char* stack, void (*entry)()) {
  forget_old_frames(stack);
  auto** top = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(stack + kStackBytes) & ~std::uintptr_t{63});
  *--top = nullptr;  // entry's return address: keeps the stack aligned as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int registers = 0; registers < 6; ++registers) *--top = nullptr;
  fiber.saved = top;
}

void switch_fibers(Fiber& from, Fiber& to) { cuda_on_cpu_switch(&from.saved, to.saved); }

#else

namespace {

ucontext_t* context_of(Fiber& fiber) {
  if (fiber.saved == nullptr) fiber.saved = std::calloc(1, sizeof(ucontext_t));
  return static_cast<ucontext_t*>(fiber.saved);
}

}  // namespace

void prepare(Fiber& fiber, char* stack, void (*entry)()) {
  forget_old_frames(stack);
  ucontext_t* context = context_of(fiber);
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = kStackBytes;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
}

void switch_fibers(Fiber& from, Fiber& to) { swapcontext(context_of(from), context_of(to)); }

#endif

}  // namespace cuda_on_cpu
