#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/index.h"
#include "quantize/evaluation_text.h"
#include "quantize/method.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace defectoscope {

/// Options that `perplexity` and `quantize` share, declared in one place.
struct WindowFlags {
  std::string text;
  Index window = 0, stride = 0;
  bool force = false;
  std::string compute = "f32";
};
void add_window_options(CLI::App& command, WindowFlags& flags, bool text_required);
WindowOptions window_options(const WindowFlags& flags, const Model& model);
ComputeType compute_type(const WindowFlags& flags);

/// How matmuls are quantized, as flags.
struct SchemeFlags {
  int weight_bits = 8, activation_bits = 8;
  std::string weights = "tensor", activations = "tensor";
  Index group = 128;
  bool simulate = false, is_static = false;
  double alpha = 0.5;
  std::vector<Index> skip;
  std::string calibration;
  std::vector<CLI::Option*> scheme_options;  ///< those that change the scheme
};
void add_scheme_options(CLI::App& command, SchemeFlags& flags);
/// The method's scheme with what the flags change of it; nullopt where no flag was given.
std::optional<QuantScheme> scheme_of(const SchemeFlags& flags, QuantScheme base);

/// The calibration text: --calibration, or the evaluation's own.
EvaluationText calibration_text(const SchemeFlags& flags, const EvaluationText& text,
                                const Tokenizer& tokenizer, const Model& model);

}  // namespace defectoscope
