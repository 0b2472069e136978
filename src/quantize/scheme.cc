#include "quantize/scheme.h"

#include <fmt/format.h>

#include "base/error.h"

namespace defectoscope {
namespace {

std::string part_text(Granularity granularity, const char* channel, Index group) {
  switch (granularity) {
    case Granularity::kTensor:
      return "per tensor";
    case Granularity::kChannel:
      return fmt::format("per {}", channel);
    case Granularity::kGroup:
      return fmt::format("per group of {}", group);
  }
  return {};
}

}  // namespace

QuantScheme rtn_scheme() { return {}; }

QuantScheme per_token_scheme() {
  QuantScheme scheme;
  scheme.weights = scheme.activations = Granularity::kChannel;
  return scheme;
}

QuantScheme llm_int8_scheme() {
  QuantScheme scheme = per_token_scheme();
  scheme.outlier_threshold = 6;
  return scheme;
}

QuantScheme fp8_scheme() {
  QuantScheme scheme;
  scheme.format = NumberFormat::kE4M3;
  return scheme;
}

bool runs_on_integers(const QuantScheme& scheme) {
  return scheme.format == NumberFormat::kInteger && !scheme.simulated && scheme.weight_bits <= 8 &&
         scheme.activation_bits <= 8 && scheme.weights != Granularity::kGroup &&
         scheme.activations != Granularity::kGroup;
}

int integer_limit(int bits) { return (1 << (bits - 1)) - 1; }

void check_scheme(const QuantScheme& scheme) {
  for (const int bits : {scheme.weight_bits, scheme.activation_bits})
    if (bits < 2 || bits > kUnquantizedBits)
      throw Error(ErrorKind::kUsage, fmt::format("bits must lie between 2 and 16, got {}", bits));
  if (scheme.group_size < 1)
    throw Error(ErrorKind::kUsage, fmt::format("a group holds at least 1 value, got {}", scheme.group_size));
  if (scheme.format == NumberFormat::kE4M3 && (scheme.weight_bits != 8 || scheme.activation_bits != 8))
    throw Error(ErrorKind::kUsage, "FP8 has 8 bits: leave the bit widths alone");
  if (scheme.static_activations && scheme.activations != Granularity::kTensor)
    throw Error(ErrorKind::kUsage, "static activation steps are one a matmul input, not per token or group");
  if (scheme.outlier_threshold > 0 && !runs_on_integers(scheme))
    throw Error(ErrorKind::kUsage,
                "LLM.int8() keeps outliers apart from 8-bit integers: it has no other form");
}

std::string scheme_text(const QuantScheme& scheme) {
  const std::string weights = part_text(scheme.weights, "channel", scheme.group_size);
  const std::string activations = part_text(scheme.activations, "token", scheme.group_size);
  std::string text = scheme.format == NumberFormat::kE4M3
                         ? std::string("FP8 e4m3")
                         : fmt::format("W{}A{}", scheme.weight_bits, scheme.activation_bits);
  if (scheme.activation_bits == kUnquantizedBits || weights == activations)
    text += " " + weights;
  else
    text += fmt::format(" weights {}, activations {}", weights, activations);
  if (scheme.static_activations) text += ", static";
  if (scheme.outlier_threshold > 0)
    text += fmt::format(", columns from {} on apart", scheme.outlier_threshold);
  if (!runs_on_integers(scheme)) text += ", simulated";
  return text;
}

Index quantized_bytes(const QuantScheme& scheme, Index rows, Index cols, Index stored) {
  if (scheme.weight_bits == kUnquantizedBits) return rows * cols * stored;
  Index steps = 1;
  if (scheme.weights == Granularity::kChannel) steps = rows;
  if (scheme.weights == Granularity::kGroup)
    steps = rows * ((cols + scheme.group_size - 1) / scheme.group_size);
  return (rows * cols * scheme.weight_bits + 7) / 8 + steps * 4;
}

}  // namespace defectoscope
