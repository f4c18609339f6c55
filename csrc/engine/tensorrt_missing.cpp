// Stands in for tensorrt_engine.cpp in a build without TensorRT's headers or without CUDA.

#include "core/error.hpp"
#include "engine/tensorrt_engine.hpp"

namespace lcx {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorCode::kUnsupported,
              "this build has no TensorRT; build with CUDA and LCX_TENSORRT_INCLUDE=<headers>");
}

}  // namespace

struct TensorRtEngine::State {};

TensorRtEngine::TensorRtEngine(const std::string&, const void*, std::size_t, Device) { refuse(); }
TensorRtEngine::~TensorRtEngine() = default;
const std::array<std::int64_t, 4>& TensorRtEngine::input_shape() const { refuse(); }
const std::array<std::int64_t, 4>& TensorRtEngine::output_shape() const { refuse(); }
Device TensorRtEngine::device() const { refuse(); }
const std::string& TensorRtEngine::version() const { refuse(); }
void TensorRtEngine::enqueue(const float*, float*, Stream) { refuse(); }
void TensorRtEngine::forget(Stream) { refuse(); }

int tensorrt_major() { return 0; }

}  // namespace lcx
