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
/// Norms of queries and keys.
enum class QkNorm {
  kNone,
  kPerHead,     ///< over each head, one gain [head_dim] for all (Qwen3, Gemma-3)
  kOwnPerHead,  ///< over each head, each with its own gain [heads, head_dim] (Cohere, StableLM)
  kWholeWidth   ///< over all heads together, gain [heads * head_dim] (OLMo-2)
};
enum class FfnForm {
  kGated,       ///< down(act(gate(x)) * up(x))
  kFusedGated,  ///< the same, gate and up rows in one tensor (Phi-3)
  kPlain        ///< down(act(up(x)))
};
enum class Activation { kSilu, kGeluErf, kGeluTanh, kQuickGelu, kRelu, kRelu2 };

/// Names of the tensors of one family, with `{}` for the 0-based layer number; empty where the family has
/// none. Biases are the weight's name with `.weight` replaced by `.bias`. `{head}` in a query or key norm
/// stands for the head's number: one tensor a head.
struct TensorNames {
  std::vector<std::string_view> prefixes = {""};  ///< tried in order before every name ("model.", "")
  std::string_view embedding = {};
  std::string_view position_embedding = {};
  std::string_view token_type_embedding = {};  ///< row 0 is added to every token (BERT)
  /// Between an embedding narrower than the states and the states (OPT-350m), [d, e] and [e, d].
  std::string_view project_in = {}, project_out = {};
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
  /// The same as kv_expand where a file has it in two: [heads, kv_latent, key] and [heads, value, kv_latent].
  std::string_view key_expand = {}, value_expand = {};
  std::string_view ffn_norm = {};
  std::string_view ffn_post_norm = {};
  std::string_view gate = {}, up = {}, down = {};  ///< fused gate+up: `up`
  std::string_view final_norm = {};
  /// A dense layer with activation and norm before the LM head (BERT's masked-token head); never prefixed.
  std::string_view head_dense = {}, head_norm = {};
  std::string_view lm_head = {};       ///< never prefixed
  std::string_view lm_head_bias = {};  ///< in full, where it is not lm_head's own; never prefixed
  /// Ends of names that some files spell otherwise.
  struct Spelling {
    std::string_view usual, other;
  };
  std::vector<Spelling> spellings = {};
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
  kPattern,         ///< those of layer_types, or all but every window_pattern-th (Gemma-2, Gemma-3)
  kAttentionTypes   ///< the "local" ones of attention_types (GPT-Neo)
};
/// Which layers turn queries and keys, in families with rotary positions.
enum class RotaryRule {
  kEveryLayer,
  kListedLayers,   ///< those with 1 in no_rope_layers, or all but every no_rope_layer_interval-th (SmolLM3)
  kWindowedLayers  ///< only windowed ones, where there are any (EXAONE-4, Command R7B)
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
  std::vector<std::string_view> sliding_window = {"sliding_window"};
  std::vector<std::string_view> window_pattern = {"sliding_window_pattern"};
  std::vector<std::string_view> rope_base = {"rope_theta", "rotary_emb_base"};
  std::vector<std::string_view> rotary_dim = {};                                            ///< in dimensions
  std::vector<std::string_view> rotary_fraction = {"partial_rotary_factor", "rotary_pct"};  ///< of head_dim
  std::vector<std::string_view> embedding_size = {};  ///< of tokens, where narrower than the states
  std::vector<std::string_view> token_types = {"type_vocab_size"};
};

/// Where config.json has the numbers that some families multiply in; empty where the family has none.
struct ScaleKeys {
  std::string_view embedding = {};           ///< the embedding is multiplied by this (Granite)
  std::string_view residual = {};            ///< attention's and the FFN's outputs (Granite)
  std::string_view attention = {};           ///< scores q·k are multiplied by this (Granite, MPT)
  std::string_view attention_root = {};      ///< scores are divided by its root (Gemma-2, Gemma-3)
  std::string_view logits = {};              ///< multiplied (Cohere)
  std::string_view logits_divisor = {};      ///< divided (Granite)
  std::string_view attention_soft_cap = {};  ///< cap · tanh(score / cap) (Gemma-2)
  std::string_view logit_soft_cap = {};      ///< the same of logits
  std::string_view qkv_limit = {};           ///< queries, keys and values are clipped to ± this (OLMo, MPT)
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
  /// Where several rows have that architecture: what tells this one, a tensor that is there or a setting
  /// behind the architecture's name and a dot; the row that has neither takes the others' leavings.
  std::string_view when_tensor = {};
  FixedSetting when = {};
  std::vector<GgufException> exceptions = {};
  std::vector<GgufSetting> settings = {};
  std::vector<FixedSetting> says = {};  ///< settings of config.json that all models of that architecture have
  /// Models of so many layers (Gemma's of 27 billion parameters) divide scores by the root of width / heads.
  Index root_by_width_layers = 0;
};

/// A family of models: everything that sets it apart, as data. Adding a family adds a row to
/// architectures(), and no code. A family of several forms (Falcon's decoders, OPT-350m's post-norm) has a
/// row for each, with `when`.
struct ArchitectureSpec {
  std::string_view name = {};                      ///< "llama"; what reports call the family
  std::vector<std::string_view> model_types = {};  ///< config.json's model_type values
  std::vector<FixedSetting> when = {};             ///< a form's own settings; empty: the family's usual form
  NormKind norm = NormKind::kRmsNorm;
  bool norm_weights = true;     ///< false: norms have neither gain nor shift, and no tensors (OLMo)
  double norm_gain_offset = 0;  ///< 1 where the stored gain g acts as 1 + g (Gemma)
  NormPlacement placement = NormPlacement::kPre;
  ResidualForm residual = ResidualForm::kSequential;
  PositionKind position = PositionKind::kRotaryHalf;
  RotaryRule rotary = RotaryRule::kEveryLayer;
  QkvLayout qkv = QkvLayout::kSeparate;
  QkNorm qk_norm = QkNorm::kNone;
  std::string_view qk_norm_key = {};  ///< the setting that switches it on; empty: always on
  FfnForm ffn = FfnForm::kGated;
  bool transposed_weights = false;  ///< matrices are stored [in, out] (GPT-2's Conv1D)
  bool causal = true;
  bool alibi_before_scale = false;          ///< ALiBi is added before scores are scaled (Falcon)
  bool embedding_times_root_width = false;  ///< the embedding is multiplied by √d (Gemma)
  bool unscaled_attention = false;          ///< scores are q·k alone (GPT-Neo)
  Index position_offset = 0;                ///< the first token's row of the learned positions (OPT: 2)
  bool offset_within_positions = false;     ///< max_positions in config.json counts those rows (RoBERTa)
  bool tied_by_default = false;             ///< tie_word_embeddings where config.json does not say
  double default_norm_eps = 1e-6;           ///< where config.json does not say, as all defaults
  Index ffn_factor = 0;                     ///< ffn_size = factor * hidden_size; 0: must be said
  Index default_kv_heads = 0;               ///< 0 = heads
  Index default_max_positions = 0;          ///< 0: must be said
  Index default_head_dim = 0;               ///< 0 = hidden_size / heads
  std::string_view default_activation = "silu";
  double default_rope_base = 10000;
  double default_local_rope_base = 0;  ///< of windowed layers; 0: as the others
  double default_rotary_fraction = 1;
  WindowRule window = WindowRule::kNone;
  Index default_window = 0;
  Index default_window_pattern = 0;  ///< of WindowRule::kPattern; 0: no layer is windowed without layer_types
  BiasRules biases = {};
  std::vector<FixedSetting> fixed = {};  ///< settings refused where they differ
  TensorNames names = {};
  ConfigKeys keys = {};
  ScaleKeys scales = {};
  GgufTraits gguf = {};
  ExpertSpec experts = {};
  bool latent_attention = false;    ///< MLA: key, value and perhaps query by way of latents
  double up_offset = 0;             ///< added to the up projection's output: act(gate) · (up + 1) in gpt-oss
  std::string_view clamp_key = {};  ///< setting that clamps gate (above) and up (both ways): swiglu_limit
};

/// All rows, in the order they are listed to users.
std::span<const ArchitectureSpec> architectures();
/// The row of a family's usual form, by a model_type or by the family's own name; nullptr where none has it.
const ArchitectureSpec* find_architecture(std::string_view model_type);
/// "llama, mistral, qwen2, ...": every model_type known, for messages.
std::string known_model_types();

}  // namespace defectoscope
