#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/index.h"
#include "model/architecture.h"
#include "model/expert_config.h"

namespace defectoscope {

/// How rotary frequencies are changed for long contexts (`rope_scaling`, or `rope_parameters` in newer
/// files).
struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3, kYarn, kLongRope, kFactors } kind = Kind::kNone;
  double factor = 1;
  double original_max_positions = 0;
  double low_frequency_factor = 1, high_frequency_factor = 4;  ///< LLaMA-3
  /// YaRN (Peng, Quesnelle, Fan, Shippole 2023): frequencies that turn more than beta_fast times over the
  /// original length stay, those under beta_slow are divided, a ramp lies between.
  double beta_fast = 32, beta_slow = 1;
  bool truncate = true;        ///< YaRN: the ramp's ends to whole channels
  double magnitude = 1;        ///< multiplies cosines and sines (YaRN, LongRoPE: their attention factor)
  double score_magnitude = 1;  ///< multiplies the scores once more (DeepSeek's mscale_all_dim)
  std::vector<double> short_factors = {}, long_factors = {};  ///< LongRoPE: divisors, by the length
  std::vector<double> factors = {};                           ///< kFactors: what each frequency is divided by
};

/// A model's shape and settings, read from config.json by the keys of its family's row.
struct ModelConfig {
  const ArchitectureSpec* architecture = nullptr;
  std::string model_type;
  Index hidden_size = 0;  ///< d
  Index layers = 0;
  Index heads = 0;      ///< query heads
  Index kv_heads = 0;   ///< divides heads
  Index head_dim = 0;   ///< of queries and keys; not always hidden_size / heads
  Index value_dim = 0;  ///< of values; 0: as head_dim
  Index ffn_size = 0;
  Index vocab_size = 0;
  Index max_positions = 0;
  double norm_eps = 1e-6;
  double norm_gain_offset = 0;  ///< the row's, where the files hold g and not 1 + g
  Activation activation = Activation::kSilu;
  double ffn_clamp = 0;  ///< gate at most this, up within ±this, before they meet; 0: none
  ExpertConfig experts;
  Index query_latent = 0, kv_latent = 0;  ///< widths of MLA's latents; 0: none
  double rope_base = 10000;
  double local_rope_base = 0;  ///< of windowed layers, which are not scaled then; 0: as the others
  Index rotary_dim = 0;        ///< of head_dim; 0 where the family has no rotary part
  RopeScaling rope_scaling;
  Index sliding_window = 0;             ///< keys a query sees, itself included; 0 = all
  std::vector<bool> layer_is_windowed;  ///< per layer; empty = all layers follow sliding_window
  std::vector<bool> layer_is_rotary;    ///< per layer; empty = all, in families that turn at all
  bool causal = true;
  QkNorm qk_norm = QkNorm::kNone;
  Index embedding_size = 0;    ///< e: width of the token table; hidden_size but where there is a projection
  Index token_types = 0;       ///< rows of the token type table; 0 = none
  double attention_scale = 1;  ///< of q·k
  double attention_soft_cap = 0, logit_soft_cap = 0;  ///< cap · tanh(x / cap); 0 = none
  double qkv_limit = 0;        ///< queries, keys and values are clipped to ± this; 0 = not
  double embedding_scale = 1;  ///< of the token embedding
  double residual_scale = 1;   ///< of what attention and FFN add
  double logit_scale = 1;
  bool tied_embeddings = false;
  bool qkv_bias_required = false, attention_output_bias_required = false, ffn_bias_required = false;
  std::optional<Index> bos_token, eos_token;  ///< the first where there are several
  std::string torch_dtype;                    ///< as config.json names it; empty where it does not

  Index query_size() const { return heads * head_dim; }
  Index kv_size() const { return kv_heads * head_dim; }
  Index value_head_dim() const { return value_dim > 0 ? value_dim : head_dim; }
  Index value_size() const { return kv_heads * value_head_dim(); }
  Index context_size() const { return heads * value_head_dim(); }  ///< what attention's output matrix reads
  /// Keys a query of that layer sees, itself included; 0 = all before it.
  Index window_of(Index layer_index) const;
  bool has_rotary() const;
  bool is_rotary(Index layer_index) const;
  /// Rows of the learned positions.
  Index position_rows() const { return max_positions + architecture->position_offset; }
};

/// Reads config.json's text. `file` is for messages. Throws Error(kBadInput) on an unknown model_type (the
/// message lists the known), a missing key, a value out of range (zero or negative sizes, heads that kv_heads
/// does not divide, sizes whose products would overflow), a setting we do not compute with (such as a rope
/// scaling kind), invalid JSON, duplicate keys. `family`, where it is not empty, is taken for model_type: a
/// name or a model_type of the table, else Error(kUsage).
ModelConfig parse_config(std::string_view json, const std::string& file, std::string_view family = {});

}  // namespace defectoscope
