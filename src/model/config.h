#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/index.h"
#include "model/architecture.h"

namespace defectoscope {

/// How rotary frequencies are changed for long contexts (`rope_scaling`, or `rope_parameters` in newer
/// files).
struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3, kFactors } kind = Kind::kNone;
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  double original_max_positions = 0;
  std::vector<double> factors = {};  ///< kFactors: what each frequency is divided by
};

/// A model's shape and settings, read from config.json by the keys of its family's row.
struct ModelConfig {
  const ArchitectureSpec* architecture = nullptr;
  std::string model_type;
  Index hidden_size = 0;  ///< d
  Index layers = 0;
  Index heads = 0;     ///< query heads
  Index kv_heads = 0;  ///< divides heads
  Index head_dim = 0;  ///< not always hidden_size / heads
  Index ffn_size = 0;
  Index vocab_size = 0;
  Index max_positions = 0;
  double norm_eps = 1e-6;
  double norm_gain_offset = 0;  ///< the row's, where the files hold g and not 1 + g
  Activation activation = Activation::kSilu;
  double rope_base = 10000;
  Index rotary_dim = 0;  ///< of head_dim; 0 where the family has no rotary part
  RopeScaling rope_scaling;
  Index sliding_window = 0;             ///< keys a query sees, itself included; 0 = all
  std::vector<bool> layer_is_windowed;  ///< per layer; empty = all layers follow sliding_window
  bool tied_embeddings = false;
  bool qkv_bias_required = false, attention_output_bias_required = false, ffn_bias_required = false;
  std::optional<Index> bos_token, eos_token;  ///< the first where there are several
  std::string torch_dtype;                    ///< as config.json names it; empty where it does not

  Index query_size() const { return heads * head_dim; }
  Index kv_size() const { return kv_heads * head_dim; }
  /// Keys a query of that layer sees, itself included; 0 = all before it.
  Index window_of(Index layer_index) const;
};

/// Reads config.json's text. `file` is for messages. Throws Error(kBadInput) on an unknown model_type (the
/// message lists the known), a missing key, a value out of range (zero or negative sizes, heads that kv_heads
/// does not divide, sizes whose products would overflow), a setting we do not compute with (such as a rope
/// scaling kind), invalid JSON, duplicate keys.
ModelConfig parse_config(std::string_view json, const std::string& file);

}  // namespace defectoscope
