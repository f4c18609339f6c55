#pragma once

// The few functions of OpenVINO's C API that the engine calls, declared here so that building needs no
// OpenVINO. The API is C, its types are opaque pointers, and these functions have been the same since 2023.1.
// Element types are never named by number (their numbering did change): the one the model's own tensors
// report is passed back.

#include <cstddef>
#include <cstdint>

namespace lcx::openvino {

struct Core;
struct Model;
struct CompiledModel;
struct Request;
struct Tensor;
struct Port;

using Status = int;  // 0 = success

struct Version {
  const char* build_number;
  const char* description;
};

struct Shape {
  std::int64_t rank;
  std::int64_t* dims;
};

struct Api {
  Status (*ov_get_openvino_version)(Version*);
  void (*ov_version_free)(Version*);
  const char* (*ov_get_last_err_msg)();
  void (*ov_free)(const char*);
  Status (*ov_core_create)(Core**);
  void (*ov_core_free)(Core*);
  Status (*ov_core_read_model_from_memory_buffer)(const Core*, const char*, std::size_t, const Tensor*, Model**);
  Status (*ov_core_compile_model)(const Core*, const Model*, const char*, std::size_t, CompiledModel**, ...);
  void (*ov_model_free)(Model*);
  void (*ov_compiled_model_free)(CompiledModel*);
  Status (*ov_compiled_model_inputs_size)(const CompiledModel*, std::size_t*);
  Status (*ov_compiled_model_outputs_size)(const CompiledModel*, std::size_t*);
  Status (*ov_compiled_model_get_property)(const CompiledModel*, const char*, char**);
  Status (*ov_compiled_model_create_infer_request)(const CompiledModel*, Request**);
  void (*ov_infer_request_free)(Request*);
  Status (*ov_infer_request_get_input_tensor)(const Request*, Tensor**);
  Status (*ov_infer_request_get_output_tensor)(const Request*, Tensor**);
  Status (*ov_infer_request_set_input_tensor)(Request*, const Tensor*);
  Status (*ov_infer_request_set_output_tensor)(Request*, const Tensor*);
  Status (*ov_infer_request_infer)(Request*);
  Status (*ov_tensor_create_from_host_ptr)(int, Shape, void*, Tensor**);
  Status (*ov_tensor_get_shape)(const Tensor*, Shape*);
  Status (*ov_tensor_get_element_type)(const Tensor*, int*);
  Status (*ov_tensor_get_byte_size)(const Tensor*, std::size_t*);
  void (*ov_tensor_free)(Tensor*);
  Status (*ov_shape_free)(Shape*);
};

}  // namespace lcx::openvino
