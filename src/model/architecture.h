#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/index.h"
#include "model/expert_spec.h"

namespace defectoscope {

enum class NormKind { kRmsNorm, kLayerNorm };
/// Where a block's norms stand.
enum class NormPlacement {
  kPre,       ///< x + f(norm(x)): LLaMA, GPT-2, ...
  kPost,      ///< norm(x + f(x)): BERT, OPT-350m
  kSandwich,  ///< x + post(f(norm(x))): Gemma-2, Gemma-3
  kOutput     ///< x + post(f(x)), no pre-norm: OLMo-2
};
enum class ResidualForm {
  kSequential,     ///< L = (I + F)(I + A)
  kParallel,       ///< L = I + A + F, both from their own norm
  kParallelShared  ///< L = I + A + F, both from one norm
};
enum class PositionKind { kNone, kRotaryHalf, kRotaryInterleaved, kLearned, kAlibi };
enum class QkvLayout {
  kSeparate,      ///< q, k, v each its own tensor
  kFusedBlocks,   ///< one tensor: all q rows, all k rows, all v rows
  kFusedPerHead,  ///< one tensor: for each head its q, k, v rows (GPT-NeoX, BLOOM)
  kFusedPerGroup  ///< one tensor: for each key-value head its queries, k, v (Falcon new decoder)
};
enum class FfnForm {
  kGated,       ///< down(act(gate(x)) * up(x))
  kFusedGated,  ///< the same, gate and up rows in one tensor (Phi-3)
  kPlain        ///< down(act(up(x)))
};
enum class Activation { kSilu, kGeluErf, kGeluTanh, kQuickGelu, kRelu, kRelu2 };

/// Names of the tensors of one family, with `{}` for the 0-based layer number; empty where the family has
/// none. Biases are the weight's name with `.weight` replaced by `.bias`.
struct TensorNames {
  std::vector<std::string_view> prefixes = {""};  ///< tried in order before every name ("model.", "")
  std::string_view embedding = {};
  std::string_view position_embedding = {};
  std::string_view embedding_norm = {};
  std::string_view attention_norm = {};
  std::string_view attention_post_norm = {};
  std::string_view query = {}, key = {}, value = {};  ///< QkvLayout::kSeparate
  std::string_view fused_qkv = {};                    ///< the others
  std::string_view query_norm = {}, key_norm = {};
  std::string_view attention_output = {};
  std::string_view sinks = {};  ///< [heads]: a further logit of every softmax, whose share goes nowhere
  /// Latent attention (MLA, DeepSeek-V2): the query by way of a latent where the configuration has one, else
  /// by `query`; key and value by way of another, whose last rows are the key's rotary part for all heads.
  std::string_view query_latent = {}, query_latent_norm = {}, query_expand = {};
  std::string_view kv_latent = {}, kv_latent_norm = {}, kv_expand = {};
  std::string_view ffn_norm = {};
  std::string_view ffn_post_norm = {};
  std::string_view gate = {}, up = {}, down = {};  ///< fused gate+up: `up`
  std::string_view final_norm = {};
  std::string_view lm_head = {};  ///< never prefixed
  /// Stored by some versions, but no weights: masks and rotary tables. Read by nobody, unknown to nobody.
  std::vector<std::string_view> ignored = {};
};

/// Whether a weight's bias must be there. Any bias that the checkpoint has is used.
enum class BiasRule { kIfPresent, kRequired };
/// Biases of one family. The keys name settings of config.json that, where true, make the biases required.
struct BiasRules {
  BiasRule qkv = BiasRule::kIfPresent;
  BiasRule attention_output = BiasRule::kIfPresent;
  BiasRule ffn = BiasRule::kIfPresent;
  BiasRule norm = BiasRule::kIfPresent;  ///< the norms' shifts
  std::string_view attention_key = {};   ///< for query, key, value and attention output
  std::string_view ffn_key = {};
};

/// Which layers see only the last `sliding_window` tokens.
enum class WindowRule {
  kNone,            ///< none, whatever config.json says
  kEveryLayer,      ///< all, where sliding_window is a number (Mistral)
  kSwitchedLayers,  ///< where use_sliding_window: those of layer_types, or from max_window_layers on (Qwen2)
  kListedLayers     ///< those of layer_types, or every other from the first on (gpt-oss)
};

/// A setting of config.json that only has one value we compute with; `value` as JSON spells it.
struct FixedSetting {
  std::string_view key;
  std::string_view value;
};

/// What config.json calls things; first of the list that is present wins.
struct ConfigKeys {
  std::vector<std::string_view> hidden_size = {"hidden_size"};
  std::vector<std::string_view> layers = {"num_hidden_layers"};
  std::vector<std::string_view> heads = {"num_attention_heads"};
  std::vector<std::string_view> kv_heads = {"num_key_value_heads"};
  std::vector<std::string_view> head_dim = {"head_dim"};
  std::vector<std::string_view> ffn_size = {"intermediate_size"};
  std::vector<std::string_view> vocab_size = {"vocab_size"};
  std::vector<std::string_view> max_positions = {"max_position_embeddings"};
  std::vector<std::string_view> norm_eps = {"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"};
  std::vector<std::string_view> activation = {"hidden_act", "activation_function", "hidden_activation"};
};

/// A tensor of a layer ("attn_norm_2") whose GGUF name tells another part than in most families.
struct GgufException {
  std::string_view gguf;  ///< without "blk.N." and ".weight"
  std::string_view own;   ///< as in TensorNames
};
/// A number that only this family's GGUF files have, behind the architecture's name and a dot.
struct GgufSetting {
  std::string_view gguf;
  std::string_view own;  ///< config.json's key
};
/// How llama.cpp's GGUF files hold the family.
struct GgufTraits {
  std::string_view architecture = {};  ///< general.architecture; empty where llama.cpp has none
  bool permuted_heads = false;         ///< rows of queries and keys are interleaved within their heads
  bool llama2c = false;                ///< llama2.c's files hold this family
  std::vector<GgufException> exceptions = {};
  std::vector<GgufSetting> settings = {};
};

/// A family of models: everything that sets it apart, as data. Adding a family adds a row to
/// architectures(), and no code.
struct ArchitectureSpec {
  std::string_view name = {};                      ///< "llama"; what reports call the family
  std::vector<std::string_view> model_types = {};  ///< config.json's model_type values
  NormKind norm = NormKind::kRmsNorm;
  double norm_gain_offset = 0;  ///< 1 where the stored gain g acts as 1 + g (Gemma)
  NormPlacement placement = NormPlacement::kPre;
  ResidualForm residual = ResidualForm::kSequential;
  PositionKind position = PositionKind::kRotaryHalf;
  QkvLayout qkv = QkvLayout::kSeparate;
  FfnForm ffn = FfnForm::kGated;
  bool transposed_weights = false;  ///< matrices are stored [in, out] (GPT-2's Conv1D)
  bool causal = true;
  bool tied_by_default = false;    ///< tie_word_embeddings where config.json does not say
  double default_norm_eps = 1e-6;  ///< where config.json does not say
  Index ffn_factor = 0;            ///< ffn_size = factor * hidden_size where config.json does not say
  Index default_kv_heads = 0;      ///< where config.json does not say; 0 = heads
  std::string_view default_activation = "silu";
  WindowRule window = WindowRule::kNone;
  Index default_window = 0;  ///< sliding_window where config.json does not say
  BiasRules biases = {};
  std::vector<FixedSetting> fixed = {};  ///< settings refused where they differ
  TensorNames names = {};
  ConfigKeys keys = {};
  GgufTraits gguf = {};
  ExpertSpec experts = {};
  bool latent_attention = false;    ///< MLA: key, value and perhaps query by way of latents
  double up_offset = 0;             ///< added to the up projection's output: act(gate) · (up + 1) in gpt-oss
  std::string_view clamp_key = {};  ///< setting that clamps gate (above) and up (both ways): swiglu_limit
};

/// All rows, in the order they are listed to users.
std::span<const ArchitectureSpec> architectures();
/// The row that lists `model_type`, or nullptr.
const ArchitectureSpec* find_architecture(std::string_view model_type);
/// "llama, mistral, qwen2, gpt2": every model_type known, for messages.
std::string known_model_types();

}  // namespace defectoscope
