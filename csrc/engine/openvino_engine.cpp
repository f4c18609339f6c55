#include "engine/openvino_engine.hpp"

#include <dlfcn.h>

#include <mutex>
#include <string>

#include "core/error.hpp"
#include "engine/openvino_c_api.hpp"

namespace lcx {
namespace {

using openvino::Api;

Api load_api(const std::string& path) {
  // Never closed: OpenVINO's worker threads may outlive the last engine.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  require(library != nullptr, ErrorCode::kEngine, "cannot open OpenVINO at ", path, ": ", library ? "" : dlerror());
  Api api{};
  const auto find = [&](auto& function, const char* name) {
    void* symbol = dlsym(library, name);
    require(symbol != nullptr, ErrorCode::kEngine, "OpenVINO at ", path, " has no ", name, "; 2024 or later is needed");
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  find(api.ov_get_openvino_version, "ov_get_openvino_version");
  find(api.ov_version_free, "ov_version_free");
  find(api.ov_get_last_err_msg, "ov_get_last_err_msg");
  find(api.ov_free, "ov_free");
  find(api.ov_core_create, "ov_core_create");
  find(api.ov_core_free, "ov_core_free");
  find(api.ov_core_read_model_from_memory_buffer, "ov_core_read_model_from_memory_buffer");
  find(api.ov_core_compile_model, "ov_core_compile_model");
  find(api.ov_model_free, "ov_model_free");
  find(api.ov_compiled_model_free, "ov_compiled_model_free");
  find(api.ov_compiled_model_inputs_size, "ov_compiled_model_inputs_size");
  find(api.ov_compiled_model_outputs_size, "ov_compiled_model_outputs_size");
  find(api.ov_compiled_model_get_property, "ov_compiled_model_get_property");
  find(api.ov_compiled_model_create_infer_request, "ov_compiled_model_create_infer_request");
  find(api.ov_infer_request_free, "ov_infer_request_free");
  find(api.ov_infer_request_get_input_tensor, "ov_infer_request_get_input_tensor");
  find(api.ov_infer_request_get_output_tensor, "ov_infer_request_get_output_tensor");
  find(api.ov_infer_request_set_input_tensor, "ov_infer_request_set_input_tensor");
  find(api.ov_infer_request_set_output_tensor, "ov_infer_request_set_output_tensor");
  find(api.ov_infer_request_infer, "ov_infer_request_infer");
  find(api.ov_tensor_create_from_host_ptr, "ov_tensor_create_from_host_ptr");
  find(api.ov_tensor_get_shape, "ov_tensor_get_shape");
  find(api.ov_tensor_get_element_type, "ov_tensor_get_element_type");
  find(api.ov_tensor_get_byte_size, "ov_tensor_get_byte_size");
  find(api.ov_tensor_free, "ov_tensor_free");
  find(api.ov_shape_free, "ov_shape_free");
  return api;
}

struct TensorLayout {
  std::vector<std::int64_t> shape;
  int element_type = 0;
};

}  // namespace

struct OpenVinoEngine::State {
  Api api;
  openvino::Core* core = nullptr;
  openvino::CompiledModel* model = nullptr;
  std::mutex mutex;
  std::vector<openvino::Request*> idle;
  TensorLayout input;
  TensorLayout output;
  std::string precision;
  std::string version;

  explicit State(const std::string& library_path) : api(load_api(library_path)) {}

  ~State() {
    for (auto* request : idle) api.ov_infer_request_free(request);
    if (model) api.ov_compiled_model_free(model);
    if (core) api.ov_core_free(core);
  }

  void check(openvino::Status status, const char* what) const {
    if (status == 0) return;
    const char* message = api.ov_get_last_err_msg();
    std::string text = message ? message : "no message";
    if (message) api.ov_free(message);
    for (auto& character : text) {
      if (character == '\n') character = ' ';
    }
    text.erase(text.find_last_not_of(' ') + 1);
    throw Error(ErrorCode::kEngine,
                std::string("OpenVINO could not ") + what + " (status " + std::to_string(status) + "): " + text);
  }

  TensorLayout layout_of(openvino::Tensor* tensor, const char* name) const {
    TensorLayout layout;
    openvino::Shape shape{};
    std::size_t bytes = 0;
    const auto got_shape = api.ov_tensor_get_shape(tensor, &shape);
    const auto got_type = api.ov_tensor_get_element_type(tensor, &layout.element_type);
    const auto got_size = api.ov_tensor_get_byte_size(tensor, &bytes);
    api.ov_tensor_free(tensor);
    check(got_shape, "read a tensor's shape");
    layout.shape.assign(shape.dims, shape.dims + shape.rank);
    api.ov_shape_free(&shape);
    check(got_type, "read a tensor's element type");
    check(got_size, "read a tensor's size");
    std::size_t count = 1;
    for (const auto extent : layout.shape) count *= static_cast<std::size_t>(extent);
    require(bytes == count * sizeof(float), ErrorCode::kEngine, "the model's ", name, " is not float32");
    return layout;
  }

  openvino::Request* new_request() const {
    openvino::Request* request = nullptr;
    check(api.ov_compiled_model_create_infer_request(model, &request), "create a request");
    return request;
  }

  openvino::Request* take_request() {
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        auto* request = idle.back();
        idle.pop_back();
        return request;
      }
    }
    return new_request();
  }

  void give_back(openvino::Request* request) {
    const std::lock_guard lock(mutex);
    idle.push_back(request);
  }

  void set_tensor(openvino::Request* request, TensorLayout& layout, float* data, bool is_input) const {
    openvino::Tensor* tensor = nullptr;
    const openvino::Shape shape{static_cast<std::int64_t>(layout.shape.size()), layout.shape.data()};
    check(api.ov_tensor_create_from_host_ptr(layout.element_type, shape, data, &tensor), "wrap a buffer");
    const auto status = is_input ? api.ov_infer_request_set_input_tensor(request, tensor)
                                 : api.ov_infer_request_set_output_tensor(request, tensor);
    api.ov_tensor_free(tensor);
    check(status, is_input ? "set the input" : "set the output");
  }
};

OpenVinoEngine::OpenVinoEngine(const std::string& library_path, std::string_view model, const std::string& precision,
                               int threads)
    : state_(std::make_unique<State>(library_path)) {
  require_argument(precision == "f32" || precision == "bf16" || precision == "f16", "precision '", precision,
                   "'; accepted: f32, bf16, f16");
  require_argument(threads >= 1, "threads ", threads, "; at least 1");
  State& s = *state_;
  openvino::Version version{};
  s.check(s.api.ov_get_openvino_version(&version), "tell its version");
  s.version = version.build_number ? version.build_number : "unknown";
  s.api.ov_version_free(&version);
  s.check(s.api.ov_core_create(&s.core), "start");
  const std::string thread_count = std::to_string(threads);
  openvino::Model* graph = nullptr;
  s.check(s.api.ov_core_read_model_from_memory_buffer(s.core, model.data(), model.size(), nullptr, &graph),
          "read the model");
  // The variadic part is key, value pairs of strings; the count before it counts both.
  const auto compiled = s.api.ov_core_compile_model(s.core, graph, "CPU", 8, &s.model, "INFERENCE_PRECISION_HINT",
                                                    precision.c_str(), "INFERENCE_NUM_THREADS", thread_count.c_str(),
                                                    "PERFORMANCE_HINT", "LATENCY", "NUM_STREAMS", "1");
  s.api.ov_model_free(graph);
  s.check(compiled, "compile the model");
  std::size_t inputs = 0;
  std::size_t outputs = 0;
  s.check(s.api.ov_compiled_model_inputs_size(s.model, &inputs), "count the inputs");
  s.check(s.api.ov_compiled_model_outputs_size(s.model, &outputs), "count the outputs");
  require(inputs == 1 && outputs == 1, ErrorCode::kEngine, "the model has ", inputs, " inputs and ", outputs,
          " outputs; one of each is needed");
  char* effective = nullptr;
  s.check(s.api.ov_compiled_model_get_property(s.model, "INFERENCE_PRECISION_HINT", &effective), "tell its precision");
  s.precision = effective;
  s.api.ov_free(effective);

  openvino::Request* request = s.new_request();
  s.idle.push_back(request);
  openvino::Tensor* tensor = nullptr;
  s.check(s.api.ov_infer_request_get_input_tensor(request, &tensor), "read the input");
  s.input = s.layout_of(tensor, "input");
  s.check(s.api.ov_infer_request_get_output_tensor(request, &tensor), "read the output");
  s.output = s.layout_of(tensor, "output");
}

OpenVinoEngine::~OpenVinoEngine() = default;

const std::vector<std::int64_t>& OpenVinoEngine::input_shape() const { return state_->input.shape; }
const std::vector<std::int64_t>& OpenVinoEngine::output_shape() const { return state_->output.shape; }
const std::string& OpenVinoEngine::precision() const { return state_->precision; }
const std::string& OpenVinoEngine::version() const { return state_->version; }

void OpenVinoEngine::infer(const float* input, float* output) {
  State& s = *state_;
  openvino::Request* request = s.take_request();
  try {
    // OpenVINO's tensors are never const; the input is only read.
    s.set_tensor(request, s.input, const_cast<float*>(input), true);
    s.set_tensor(request, s.output, output, false);
    s.check(s.api.ov_infer_request_infer(request), "run the model");
  } catch (...) {
    // A request that failed is not trusted again.
    s.api.ov_infer_request_free(request);
    throw;
  }
  s.give_back(request);
}

}  // namespace lcx
