#pragma once

#include <string>

#include "base/index.h"

namespace defectoscope {

/// What shares one step. Of weights: the whole matrix; each output; each group of inputs of an output. Of a
/// matmul's input: one window's whole input; each token; each group of a token's channels.
enum class Granularity { kTensor, kChannel, kGroup };
enum class NumberFormat {
  kInteger,  ///< symmetric: step max / (2^(bits−1) − 1), nearest, ties to even (THEORY.md, section 3)
  kE4M3      ///< FP8: scale max / 448
};

/// Bits of a side that is left as it is.
inline constexpr int kUnquantizedBits = 16;

/// How the weights and inputs of a model's matmuls are quantized. The default is the paper's RTN: W8A8, one
/// step a tensor, activations' steps from what they are (dynamic).
struct QuantScheme {
  NumberFormat format = NumberFormat::kInteger;
  int weight_bits = 8, activation_bits = 8;  ///< 2 … 16; 16 leaves them as they are
  Granularity weights = Granularity::kTensor, activations = Granularity::kTensor;
  Index group_size = 128;           ///< of kGroup
  bool static_activations = false;  ///< steps from calibration maxima; kTensor only
  bool simulated = false;           ///< quantize and dequantize, products in f32, where integers would do
  double outlier_threshold = 0;     ///< > 0: LLM.int8(), columns of an input that reach it stay unquantized

  bool operator==(const QuantScheme&) const = default;
};

/// Round to nearest, W8A8, one step a tensor: the paper's.
QuantScheme rtn_scheme();
/// W8A8, a step a token and a step an output.
QuantScheme per_token_scheme();
/// Dettmers et al. 2022: per_token_scheme, input columns that reach 6 kept apart.
QuantScheme llm_int8_scheme();
/// FP8 e4m3, one scale a tensor, simulated.
QuantScheme fp8_scheme();

/// Whether the products run on integers: at most 8 bits on both sides, no groups, not asked to be simulated.
bool runs_on_integers(const QuantScheme& scheme);
/// The largest integer of so many bits: 127 of 8.
int integer_limit(int bits);
/// Throws Error(kUsage) on bits outside 2 … 16, groups of less than one, a combination that has no meaning.
void check_scheme(const QuantScheme& scheme);
/// "W8A8 per tensor", "W4A16 per group of 128": for tables.
std::string scheme_text(const QuantScheme& scheme);
/// Bytes a matrix of this shape takes: its numbers and, with four bytes each, its steps. `stored`: bytes of
/// one element where the scheme leaves weights alone.
Index quantized_bytes(const QuantScheme& scheme, Index rows, Index cols, Index stored);

}  // namespace defectoscope
