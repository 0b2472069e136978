#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/model_files.h"
#include "tensor/tensor.h"

namespace defectoscope {

class Checkpoint;

/// Gain and shift of a norm, as the norm multiplies and adds them (Gemma's 1 + g is already added here);
/// shift empty where the family has none, both empty where the norm does not exist.
struct NormWeights {
  std::vector<float> gain;   ///< [d]
  std::vector<float> shift;  ///< [d] or empty
  bool defined() const { return !gain.empty(); }
};

/// A matrix with its bias (empty where there is none).
struct LinearWeights {
  WeightMatrix weight;      ///< [out, in]
  std::vector<float> bias;  ///< [out] or empty
};

/// The latents of MLA (DeepSeek-V2). Query: `query` reads norm(query x) where query_latent is there. Key and
/// value read norm(kv x) [kv_latent]; the key's rotary part, one for all heads, is key_position x.
struct LatentWeights {
  LinearWeights query;         ///< [query_latent, d]; undefined where queries come straight from x
  LinearWeights kv;            ///< [kv_latent, d]
  LinearWeights key_position;  ///< [rotary_dim, d]
  NormWeights query_norm, kv_norm;
  bool defined() const { return kv.weight.defined(); }
};

struct AttentionWeights {
  LinearWeights query;   ///< [heads * head_dim, d or query_latent]
  LinearWeights key;     ///< [kv_heads * head_dim, d]; MLA: [heads * (head_dim - rotary_dim), kv_latent]
  LinearWeights value;   ///< [kv_heads * value_head_dim, d or kv_latent]
  LinearWeights output;  ///< [d, heads * value_head_dim]
  NormWeights query_norm, key_norm;  ///< gains by ModelConfig::qk_norm: [head_dim] or [heads * head_dim]
  LatentWeights latent;
  std::vector<float> sinks;  ///< [heads] or empty
};

struct FfnWeights {
  LinearWeights gate;  ///< [ffn, d]; undefined for plain FFNs
  LinearWeights up;    ///< [ffn, d]
  LinearWeights down;  ///< [d, ffn]
};

/// The experts of a layer and what chooses among them.
struct ExpertWeights {
  LinearWeights router;               ///< [experts, d]
  std::vector<float> selection_bias;  ///< [experts] or empty
  std::vector<FfnWeights> experts;
  FfnWeights shared;            ///< undefined where no expert is shared
  LinearWeights shared_switch;  ///< [1, d] or undefined: its sigmoid multiplies the shared expert
  bool defined() const { return !experts.empty(); }
};

/// One transformer block. Matrices borrow from the mapped checkpoint wherever its layout allows.
struct LayerWeights {
  NormWeights attention_norm, attention_post_norm, ffn_norm, ffn_post_norm;
  AttentionWeights attention;
  FfnWeights ffn;         ///< undefined where the layer has experts
  ExpertWeights experts;  ///< undefined where it has none
};

/// Between the final norm and the logits.
struct HeadWeights {
  WeightMatrix project_out;  ///< [e, d]; undefined where e = d
  LinearWeights dense;       ///< [d, d], then activation and norm (BERT); undefined in most families
  NormWeights norm;
  std::vector<float> bias;  ///< [vocab] of the logits, or empty
};

/// A checkpoint with its configuration: gives each layer's weights on demand.
class Model {
 public:
  /// Opens what open_model_files does: a Hugging Face folder or a model's file. Reads headers and config
  /// only. Throws Error(kBadInput) as that does, and where a tensor is
  /// missing or has another shape than the configuration implies.
  static Model open(const std::filesystem::path& path, const OpenOptions& options = {});
  Model(ModelConfig config, std::shared_ptr<const Checkpoint> checkpoint, std::filesystem::path folder);

  const ModelConfig& config() const { return config_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  /// The folder or file as the user named it; its last component is what reports call the model.
  const std::filesystem::path& folder() const { return folder_; }
  std::string name() const;

  /// Layer 0 .. layers - 1. Cheap for mapped weights; transposed families copy. Throws Error(kBadInput) with
  /// the tensor's name on a non-finite gain or bias.
  LayerWeights layer(Index layer_index) const;
  WeightMatrix embedding() const;             ///< [vocab, e]; e = d but where project_in() is defined
  WeightMatrix project_in() const;            ///< [d, e]; undefined where e = d
  WeightMatrix position_embedding() const;    ///< [position_rows, d]; undefined where there is none
  WeightMatrix token_type_embedding() const;  ///< [token_types, d]; undefined where there is none
  NormWeights embedding_norm() const;         ///< of the embedded tokens (BERT, BLOOM)
  NormWeights final_norm() const;
  /// [vocab, e]; the embedding where tied (a stored copy is not looked at). Throws Error(kBadInput) where the
  /// checkpoint is a bare body, which open() accepts.
  WeightMatrix lm_head() const;
  bool has_lm_head() const;
  HeadWeights head() const;  ///< what stands before and beside lm_head()

  /// Throws Error(kBadInput) naming the first tensor that holds NaN or infinity, with its position. Reads the
  /// whole checkpoint, in parallel and with a progress line.
  void check_finite() const;

 private:
  Tensor find(std::string_view name) const;
  std::vector<float> vector(const std::string& name) const;
  NormWeights norm(std::string_view pattern, Index layer_index) const;
  NormWeights head_norm(std::string_view pattern, Index layer_index, Index heads) const;
  WeightMatrix table(std::string_view pattern) const;
  LinearWeights linear(std::string_view pattern, Index layer_index) const;
  AttentionWeights attention(Index layer_index) const;
  AttentionWeights latent_attention(Index layer_index) const;
  FfnWeights ffn(Index layer_index) const;
  ExpertWeights experts(Index layer_index) const;

  ModelConfig config_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::filesystem::path folder_;
  std::string_view prefix_;
  std::size_t spelling_ = 0;  ///< of the row's experts
};

}  // namespace defectoscope
