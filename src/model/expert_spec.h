#pragma once

#include <string_view>
#include <vector>

namespace defectoscope {

/// What a router makes of its logits before it chooses.
enum class RouterScore {
  kSoftmax,  ///< over all experts. Softmax over the chosen logits alone is this with normalized weights.
  kSigmoid   ///< each expert for itself (DeepSeek-V3)
};
/// What a group of experts is ranked by where only some groups may be chosen from.
enum class GroupScore {
  kLargest,      ///< its best expert (DeepSeek-V2)
  kSumOfLargest  ///< its two best together (DeepSeek-V3)
};
/// Which layers have experts.
enum class SparseLayers {
  kAll,
  kAfterFirst,  ///< from first_k_dense_replace on, every moe_layer_freq-th (DeepSeek)
  kEveryNth     ///< layer i (from 1) where decoder_sparse_step divides i, but for mlp_only_layers (Qwen)
};

/// How experts are stored, by one of a family's spellings: `{}` is the layer, the second `{}` the expert.
/// Either one tensor an expert (gate, up, down), or all experts' in one (packed_…), whose first axis is the
/// expert.
struct ExpertNames {
  std::string_view router = {};          ///< [experts, d]; its bias is used where there is one
  std::string_view selection_bias = {};  ///< [experts]; added to the scores that choose, not to the weights
  std::string_view gate = {}, up = {}, down = {};
  bool biases = false;                                     ///< of gate, up and down
  std::string_view packed_gate_up = {}, packed_down = {};  ///< [experts, 2 · ffn, d], [experts, d, ffn]
  std::string_view packed_gate_up_bias = {}, packed_down_bias = {};  ///< [experts, 2 · ffn], [experts, d]
  bool packed_transposed = false;  ///< packed as [experts, in, out], gate and up rows alternating (gpt-oss)
  std::string_view shared_gate = {}, shared_up = {},
                   shared_down = {};    ///< of the expert that all tokens pass
  std::string_view shared_switch = {};  ///< [1, d]: its sigmoid multiplies the shared expert (Qwen2-MoE)
};

/// Experts of a family, as data; no spellings where it has none.
struct ExpertSpec {
  std::vector<ExpertNames> spellings = {};  ///< tried in order; the first whose router is stored counts
  RouterScore score = RouterScore::kSoftmax;
  GroupScore group_score = GroupScore::kLargest;
  SparseLayers layers = SparseLayers::kAll;
  bool normalized = false;                        ///< chosen weights sum to 1 where config.json does not say
  std::string_view normalized_key = {};           ///< "norm_topk_prob"; empty: always as above
  std::string_view scale_key = {};                ///< "routed_scaling_factor", multiplies the weights
  bool grouped = false;                           ///< n_group, topk_group count
  std::vector<std::string_view> count_keys = {};  ///< "num_experts"
  std::vector<std::string_view> size_keys = {};   ///< width of one expert
  std::vector<std::string_view> shared_size_keys = {};   ///< width of the shared expert, or
  std::vector<std::string_view> shared_count_keys = {};  ///< how many times one expert's
};

}  // namespace defectoscope
