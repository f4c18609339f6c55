#include "engine/tensorrt_engine.hpp"

#include <NvInferRuntime.h>
#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "core/error.hpp"
#include "engine/cuda_devices.hpp"

namespace lcx {
namespace {

/// Collects TensorRT's warnings and errors, so that they can be told with the failure that they explain.
class Log : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* message) noexcept override {
    if (severity > Severity::kWARNING) return;
    try {
      const std::lock_guard lock(mutex_);
      if (text_.size() > kMostCharacters) text_.erase(0, text_.size() / 2);
      text_ += text_.empty() ? "" : "; ";
      text_ += message;
    } catch (...) {  // TensorRT must not see an exception; out of memory, the words are lost
    }
  }

  /// What was said since the last call, in one line.
  std::string take() {
    const std::lock_guard lock(mutex_);
    std::string text = std::exchange(text_, {});
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text.empty() ? "TensorRT gave no reason" : text;
  }

 private:
  static constexpr std::size_t kMostCharacters = 4000;
  std::mutex mutex_;
  std::string text_;
};

struct Library {
  void* (*create_runtime)(void* logger, std::int32_t version) = nullptr;
  std::string version;
};

/// The library, opened and found to speak the headers' language. TensorRT's classes come from C-linkage factories, so
/// that no mangled name is looked up.
Library open_library(const std::string& path) {
  // Never closed: TensorRT keeps threads and static state of its own.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  require(handle != nullptr, ErrorCode::kEngine, "cannot open TensorRT at ", path, ": ", handle ? "" : dlerror());
  const auto find = [&](auto& function, const char* name) {
    void* symbol = dlsym(handle, name);
    require(symbol != nullptr, ErrorCode::kEngine, "TensorRT at ", path, " has no ", name,
            "; version 10 or later is needed");
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  std::int32_t (*major)() = nullptr;
  std::int32_t (*minor)() = nullptr;
  std::int32_t (*patch)() = nullptr;
  find(major, "getInferLibMajorVersion");
  find(minor, "getInferLibMinorVersion");
  find(patch, "getInferLibPatchVersion");
  Library library;
  library.version = std::to_string(major()) + "." + std::to_string(minor()) + "." + std::to_string(patch());
  // Another major version lays out its classes in another way: calling into it would crash.
  require(major() == NV_TENSORRT_MAJOR, ErrorCode::kEngine, "TensorRT at ", path, " is ", library.version,
          "; this build speaks ", NV_TENSORRT_MAJOR, ".x");
  find(library.create_runtime, "createInferRuntime_INTERNAL");
  return library;
}

struct Binding {
  std::string name;
  std::array<std::int64_t, 4> shape{};
};

using Contexts = std::map<void*, std::unique_ptr<nvinfer1::IExecutionContext>>;

}  // namespace

struct TensorRtEngine::State {
  // The order matters: destroyed from the last to the first, and each needs those before it.
  Log log;
  Library library;
  Device device;
  std::unique_ptr<nvinfer1::IRuntime> runtime;
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
  Binding input;
  Binding output;
  std::mutex mutex;
  Contexts contexts;

  [[noreturn]] void fail(const std::string& what) {
    throw Error(ErrorCode::kEngine, "TensorRT " + library.version + " " + what + ": " + log.take());
  }

  void read_bindings() {
    const int count = engine->getNbIOTensors();
    int inputs = 0;
    for (int i = 0; i < count; ++i) {
      const char* name = engine->getIOTensorName(i);
      const bool is_input = engine->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
      inputs += is_input ? 1 : 0;
      read_binding(name, is_input ? input : output);
    }
    require(count == 2 && inputs == 1, ErrorCode::kEngine, "the plan has ", inputs, " inputs and ", count - inputs,
            " outputs; one of each is needed");
  }

  void read_binding(const char* name, Binding& binding) const {
    require(engine->getTensorDataType(name) == nvinfer1::DataType::kFLOAT, ErrorCode::kEngine, "the plan's ", name,
            " is not float32");
    const nvinfer1::Dims dims = engine->getTensorShape(name);
    require(dims.nbDims == 4 && std::all_of(dims.d, dims.d + 4, [](auto extent) { return extent > 0; }),
            ErrorCode::kEngine, "the plan's ", name, " is not of fixed shape [N, C, H, W]");
    binding.name = name;
    std::copy_n(dims.d, 4, binding.shape.begin());
  }

  nvinfer1::IExecutionContext& context_of(Stream stream) {
    auto& context = contexts[stream.handle];
    if (context == nullptr) {
      context.reset(engine->createExecutionContext());
      if (context == nullptr) fail("could not make an execution context");
    }
    return *context;
  }
};

TensorRtEngine::TensorRtEngine(const std::string& library_path, const void* plan, std::size_t plan_bytes, Device device)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  // Before anything of TensorRT: without a GPU its lean runtime hands out a pointer to nothing.
  const std::string no_gpu = why_no_cuda_device();
  require(no_gpu.empty(), ErrorCode::kDevice, no_gpu);
  const CurrentDevice current(device);
  s.device = device;
  s.library = open_library(library_path);
  s.runtime.reset(static_cast<nvinfer1::IRuntime*>(s.library.create_runtime(&s.log, NV_TENSORRT_VERSION)));
  if (s.runtime == nullptr) s.fail("could not start");
  s.engine.reset(s.runtime->deserializeCudaEngine(plan, plan_bytes));
  if (s.engine == nullptr) s.fail("could not read the plan");
  s.read_bindings();
}

TensorRtEngine::~TensorRtEngine() = default;

const std::array<std::int64_t, 4>& TensorRtEngine::input_shape() const { return state_->input.shape; }
const std::array<std::int64_t, 4>& TensorRtEngine::output_shape() const { return state_->output.shape; }
Device TensorRtEngine::device() const { return state_->device; }
const std::string& TensorRtEngine::version() const { return state_->library.version; }

void TensorRtEngine::enqueue(const float* input, float* output, Stream stream) {
  State& s = *state_;
  const CurrentDevice current(s.device);
  const std::lock_guard lock(s.mutex);
  nvinfer1::IExecutionContext& context = s.context_of(stream);
  // TensorRT's addresses are never const; the input is only read.
  const bool done = context.setTensorAddress(s.input.name.c_str(), const_cast<float*>(input)) &&
                    context.setTensorAddress(s.output.name.c_str(), output) &&
                    context.enqueueV3(static_cast<cudaStream_t>(stream.handle));
  if (!done) {
    // A context that failed is not trusted again.
    s.contexts.erase(stream.handle);
    forget_cuda_error();
    s.fail("could not run the network");
  }
}

void TensorRtEngine::forget(Stream stream) {
  const CurrentDevice current(state_->device);
  const std::lock_guard lock(state_->mutex);
  state_->contexts.erase(stream.handle);
}

int tensorrt_major() { return NV_TENSORRT_MAJOR; }

}  // namespace lcx
