// A stand-in for TensorRT's library, for tests. It runs plans of our own (package.py says what they hold): a network of
// sigmoid(weight * x + bias) for each output channel, on the host. Built several times over, with faults to order:
//   FAKE_MAJOR=n           says it is version n
//   FAKE_NO_FACTORY        lacks the factory
//   FAKE_NO_RUNTIME        starts no runtime
//   FAKE_ENQUEUE_FAILS     refuses to run
//   FAKE_CONTEXT_FAILS     makes no context
// A plan may ask for misfits in a last line: "half", "dynamic", "rank 3", "two inputs".

#include <NvInferRuntime.h>

#include <cmath>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace {

using nvinfer1::ILogger;

#ifndef FAKE_MAJOR
#define FAKE_MAJOR NV_TENSORRT_MAJOR
#endif
#ifndef FAKE_NO_RUNTIME
#define FAKE_NO_RUNTIME 0
#endif
#ifndef FAKE_ENQUEUE_FAILS
#define FAKE_ENQUEUE_FAILS 0
#endif
#ifndef FAKE_CONTEXT_FAILS
#define FAKE_CONTEXT_FAILS 0
#endif
#define EXPORT extern "C" __attribute__((visibility("default")))

/// Puts work on a stream; without one, it is done at once. Set by a test in which streams are emulated.
using Launch = int (*)(void* stream, void (*work)(void*), void* argument);
Launch launch_on_stream = nullptr;
int contexts_alive = 0;

struct Network {
  std::int64_t height = 0, width = 0;
  std::vector<std::pair<float, float>> channels;
  std::string misfit;
};

struct Run {
  const Network* network;
  const float* input;
  float* output;
};

void run(void* argument) {
  const Run& run = *static_cast<Run*>(argument);
  const std::int64_t pixels = run.network->height * run.network->width;
  float* to = run.output;
  for (const auto& [weight, bias] : run.network->channels) {
    for (std::int64_t i = 0; i < pixels; ++i) *to++ = 1.0f / (1.0f + std::exp(-(weight * run.input[i] + bias)));
  }
}

class Context : public nvinfer1::IExecutionContext {
 public:
  Context(const Network& network, ILogger& log) : network_(network), log_(log) { ++contexts_alive; }
  ~Context() noexcept override {
    --contexts_alive;
    for (Run* run : runs_) delete run;
  }

  bool setTensorAddress(const char* name, void* data) noexcept override {
    (std::strcmp(name, "image") == 0 ? input_ : output_) = data;
    return data != nullptr;
  }

  bool enqueueV3(cudaStream_t stream) noexcept override {
    if (FAKE_ENQUEUE_FAILS) {
      log_.log(ILogger::Severity::kINFO, "not of interest");
      log_.log(ILogger::Severity::kERROR, "the stream\nis upside down");
      return false;
    }
    Run work{&network_, static_cast<const float*>(input_), static_cast<float*>(output_)};
    if (launch_on_stream == nullptr) {
      run(&work);
      return true;
    }
    // Kept as long as the context: a captured run comes again.
    runs_.push_back(new Run(work));
    return launch_on_stream(stream, run, runs_.back()) == 0;
  }

 private:
  const Network& network_;
  ILogger& log_;
  void* input_ = nullptr;
  void* output_ = nullptr;
  std::vector<Run*> runs_;
};

class Engine : public nvinfer1::ICudaEngine {
 public:
  Engine(Network network, ILogger& log) : network_(std::move(network)), log_(log) {}

  std::int32_t getNbIOTensors() const noexcept override { return network_.misfit == "two inputs" ? 3 : 2; }
  const char* getIOTensorName(std::int32_t index) const noexcept override {
    static const char* const names[] = {"image", "probabilities", "image2"};
    return names[index];
  }
  nvinfer1::TensorIOMode getTensorIOMode(const char* name) const noexcept override {
    return name[0] == 'i' ? nvinfer1::TensorIOMode::kINPUT : nvinfer1::TensorIOMode::kOUTPUT;
  }
  nvinfer1::DataType getTensorDataType(const char*) const noexcept override {
    return network_.misfit == "half" ? nvinfer1::DataType::kHALF : nvinfer1::DataType::kFLOAT;
  }
  nvinfer1::Dims getTensorShape(const char* name) const noexcept override {
    const auto channels = name[0] == 'i' ? std::int64_t{1} : static_cast<std::int64_t>(network_.channels.size());
    const std::int64_t batch = network_.misfit == "dynamic" ? -1 : 1;
    return {network_.misfit == "rank 3" ? 3 : 4, {batch, channels, network_.height, network_.width}};
  }
  nvinfer1::IExecutionContext* createExecutionContext() noexcept override {
    if (!FAKE_CONTEXT_FAILS) return new Context(network_, log_);
    log_.log(ILogger::Severity::kERROR, "out of memory");
    return nullptr;
  }

 private:
  Network network_;
  ILogger& log_;
};

class Runtime : public nvinfer1::IRuntime {
 public:
  explicit Runtime(ILogger& log) : log_(log) {}

  nvinfer1::ICudaEngine* deserializeCudaEngine(const void* plan, std::size_t bytes) noexcept override {
    std::istringstream text(std::string(static_cast<const char*>(plan), bytes));
    std::string line;
    std::getline(text, line);
    Network network;
    if (line != "lcx fake plan 1" || !(text >> network.height >> network.width)) {
      log_.log(ILogger::Severity::kWARNING, "this is odd");
      log_.log(ILogger::Severity::kERROR, "the plan is not one of mine");
      return nullptr;
    }
    float weight = 0, bias = 0;
    while (text >> weight >> bias) network.channels.emplace_back(weight, bias);
    text.clear();
    std::getline(text, network.misfit);
    return new Engine(std::move(network), log_);
  }

 private:
  ILogger& log_;
};

}  // namespace

EXPORT std::int32_t getInferLibMajorVersion() { return FAKE_MAJOR; }
EXPORT std::int32_t getInferLibMinorVersion() { return NV_TENSORRT_MINOR; }
EXPORT std::int32_t getInferLibPatchVersion() { return NV_TENSORRT_PATCH; }

#ifndef FAKE_NO_FACTORY
EXPORT void* createInferRuntime_INTERNAL(void* logger, std::int32_t version) {
  auto& log = *static_cast<ILogger*>(logger);
  if (!FAKE_NO_RUNTIME && version == NV_TENSORRT_VERSION) return static_cast<nvinfer1::IRuntime*>(new Runtime(log));
  log.log(ILogger::Severity::kERROR, "no licence");
  return nullptr;
}
#endif

EXPORT void fake_set_launch(Launch launch) { launch_on_stream = launch; }
EXPORT int fake_contexts_alive() { return contexts_alive; }
