#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lcx {

/// A model compiled for the CPU by OpenVINO, through its C API.
///
/// The library is opened at run time, so building needs nothing of OpenVINO and a machine without it still
/// imports the package. OpenVINO's Python package is never imported: it loads a telemetry module, and patient
/// images allow neither telemetry nor any network call.
class OpenVinoEngine {
 public:
  /// library_path  libopenvino_c.so of an installed OpenVINO (2024 or later)
  /// model         content of an .onnx file with one input and one output, both float32 and of fixed shape
  /// precision     what the network is computed in: "f32", "bf16" or "f16"
  /// threads       CPU threads for one inference; >= 1
  /// Throws Error(kEngine) with OpenVINO's own message if the library or the model cannot be used.
  OpenVinoEngine(const std::string& library_path, std::string_view model, const std::string& precision, int threads);
  ~OpenVinoEngine();
  OpenVinoEngine(const OpenVinoEngine&) = delete;
  OpenVinoEngine& operator=(const OpenVinoEngine&) = delete;

  const std::vector<std::int64_t>& input_shape() const;
  const std::vector<std::int64_t>& output_shape() const;
  /// What OpenVINO says it computes in, which may differ from what was asked for.
  const std::string& precision() const;
  const std::string& version() const;

  /// Runs one batch. `input` and `output` are dense, of input_shape() and output_shape(). Safe to call from
  /// several threads at once: each call takes an idle request or makes one.
  void infer(const float* input, float* output);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcx
