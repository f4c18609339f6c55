#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/error.hpp"

#ifdef LCX_EMULATE_CUDA
namespace cuda_on_cpu {  // tests/cuda_on_cpu/guard.hpp
void forbid_access(void* data, std::size_t bytes);
void allow_access(void* data, std::size_t bytes);
}  // namespace cuda_on_cpu
#endif

namespace lcx {

/// A borrowed stretch of device memory that operations cut their scratch and results from, so that none of them
/// allocates and all can be captured into a CUDA graph.
///
/// How much an operation needs is found by the same code that takes it: a Workspace without memory hands out null
/// pointers and counts. Each `enqueue_<op>` in `<op>_cuda.hpp` goes with an `<op>_workspace_bytes`.
class Workspace {
 public:
  /// Counts only.
  Workspace() = default;

  /// base  device memory, 256-byte aligned as cudaMalloc gives it
  Workspace(void* base, std::size_t bytes) : base_(static_cast<char*>(base)), bytes_(bytes) {}

  /// `count` uninitialised values, 256-byte aligned with respect to the base; null if this one counts only.
  /// Throws Error(kDevice) if the memory is used up.
  template <typename T>
  T* take(std::int64_t count) {
    const std::size_t at = used_;
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    used_ += (bytes + kGuard + kAlignment - 1) / kAlignment * kAlignment;
    [[maybe_unused]] const bool is_fresh = at >= peak_;
    peak_ = std::max(peak_, used_);
    if (base_ == nullptr) return nullptr;
    require(used_ <= bytes_, ErrorCode::kDevice, "workspace of ", bytes_, " bytes is too small; ", used_, " needed");
#ifdef LCX_EMULATE_CUDA
    // What was given back and is taken again may still be used by work that has not begun: no guard there.
    cuda_on_cpu::allow_access(base_ + at, bytes);
    if (is_fresh) cuda_on_cpu::forbid_access(base_ + at + bytes, used_ - at - bytes);
#endif
    return reinterpret_cast<T*>(base_ + at);
  }

  /// The most bytes in use at any time.
  std::size_t peak() const { return peak_; }

  /// Gives back at its end what was taken during its life, for whatever comes later on the same stream.
  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), used_(workspace.used_) {}
    ~Scope() { workspace_.used_ = used_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    std::size_t used_;
  };

 private:
  static constexpr std::size_t kAlignment = 256;
#ifdef LCX_EMULATE_CUDA
  static constexpr std::size_t kGuard = 1;  // so that no piece ends where the next begins
#else
  static constexpr std::size_t kGuard = 0;
#endif

  char* base_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace lcx
