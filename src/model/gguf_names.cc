#include "model/gguf_names.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "checkpoint/strict_json.h"
#include "model/tensor_plan.h"

namespace defectoscope {
namespace {

constexpr std::string_view kLayerPrefix = "blk.";
constexpr std::string_view kWeight = ".weight", kBias = ".bias";
constexpr std::string_view kOwnLayer = "{}", kOwnHead = "{head}";
constexpr std::string_view kArchitectureKey = "general.architecture";

/// llama.cpp's name of a part, without ".weight": the same in all architectures, but for a row's exceptions.
struct Part {
  std::string_view gguf;
  std::string_view TensorNames::* own;
};
constexpr Part kModelParts[] = {{"token_embd", &TensorNames::embedding},
                                {"position_embd", &TensorNames::position_embedding},
                                {"token_types", &TensorNames::token_type_embedding},
                                {"token_embd_norm", &TensorNames::embedding_norm},
                                {"output_norm", &TensorNames::final_norm},
                                {"output", &TensorNames::lm_head}};
constexpr Part kLayerParts[] = {{"attn_norm", &TensorNames::attention_norm},
                                {"post_attention_norm", &TensorNames::attention_post_norm},
                                {"attn_q", &TensorNames::query},
                                {"attn_k", &TensorNames::key},
                                {"attn_v", &TensorNames::value},
                                {"attn_qkv", &TensorNames::fused_qkv},
                                {"attn_q_norm", &TensorNames::query_norm},
                                {"attn_k_norm", &TensorNames::key_norm},
                                {"attn_output", &TensorNames::attention_output},
                                {"attn_sinks", &TensorNames::sinks},
                                {"attn_q_a", &TensorNames::query_latent},
                                {"attn_q_a_norm", &TensorNames::query_latent_norm},
                                {"attn_q_b", &TensorNames::query_expand},
                                {"attn_kv_a_mqa", &TensorNames::kv_latent},
                                {"attn_kv_a_norm", &TensorNames::kv_latent_norm},
                                {"attn_kv_b", &TensorNames::kv_expand},
                                {"attn_k_b", &TensorNames::key_expand},
                                {"attn_v_b", &TensorNames::value_expand},
                                {"ffn_norm", &TensorNames::ffn_norm},
                                {"post_ffw_norm", &TensorNames::ffn_post_norm},
                                {"ffn_gate", &TensorNames::gate},
                                {"ffn_up", &TensorNames::up},
                                {"ffn_down", &TensorNames::down}};

struct ExpertPart {
  std::string_view gguf;
  std::string_view ExpertNames::* own;
};
constexpr ExpertPart kExpertParts[] = {{"ffn_gate_inp", &ExpertNames::router},
                                       {"exp_probs_b", &ExpertNames::selection_bias},
                                       {"ffn_gate_exps", &ExpertNames::gate},
                                       {"ffn_up_exps", &ExpertNames::up},
                                       {"ffn_down_exps", &ExpertNames::down},
                                       {"ffn_gate_shexp", &ExpertNames::shared_gate},
                                       {"ffn_up_shexp", &ExpertNames::shared_up},
                                       {"ffn_down_shexp", &ExpertNames::shared_down},
                                       {"ffn_gate_inp_shexp", &ExpertNames::shared_switch}};

/// The row's names of experts that are a tensor each; nullptr where it has no experts.
const ExpertNames* single_experts(const ArchitectureSpec& row) {
  const std::vector<ExpertNames>& spellings = row.experts.spellings;
  const auto found = std::ranges::find_if(spellings, [](const ExpertNames& n) { return !n.gate.empty(); });
  return found == spellings.end() ? nullptr : &*found;
}

RowChange change_of(const ArchitectureSpec& row, std::string_view part) {
  if (row.gguf.permuted_heads && part == "attn_q") return RowChange::kPermutedQuery;
  if (row.gguf.permuted_heads && part == "attn_k") return RowChange::kPermutedKey;
  if (part == "ffn_gate_inp_shexp") return RowChange::kOneRow;
  const bool grouped = row.qkv == QkvLayout::kFusedPerHead || row.qkv == QkvLayout::kFusedPerGroup;
  return part == "attn_qkv" && grouped ? RowChange::kRegrouped : RowChange::kNone;
}

bool is_matrix(std::string_view part) {
  return part.starts_with("ffn_") ? !part.ends_with("norm") : part == "attn_qkv" || part == "attn_output";
}

struct Known {
  std::string pattern;  ///< in full, with `{}` for the layer
  RowChange weight = RowChange::kNone, bias = RowChange::kNone;
  bool split = false;  ///< a second {}: each place of the first axis a tensor
};
using Names = std::map<std::string, Known, std::less<>>;

Names names_of(const ArchitectureSpec& row) {
  Names names;
  // An encoder's body is kept alone, without its head.
  const std::string_view prefix = row.causal ? row.names.prefixes.front() : row.names.prefixes.back();
  const auto add = [&](std::string_view layer, std::string_view part, std::string_view own) {
    if (own.empty()) return;
    Known known{std::string(own == row.names.lm_head ? std::string_view() : prefix).append(own)};
    if (const std::size_t at = known.pattern.find(kOwnHead); at != std::string::npos)
      known.pattern.replace(at, kOwnHead.size(), kOwnLayer);
    known.split = known.pattern.find(kOwnLayer) != known.pattern.rfind(kOwnLayer);
    known.weight = known.bias = change_of(row, part);
    if (row.transposed_weights && is_matrix(part)) known.weight = RowChange::kTransposed;
    names[std::string(layer).append(part)] = std::move(known);
  };
  for (const Part& part : kModelParts) add("", part.gguf, row.names.*part.own);
  for (const Part& part : kLayerParts) add(kLayerPrefix, part.gguf, row.names.*part.own);
  if (const ExpertNames* experts = single_experts(row); experts != nullptr)
    for (const ExpertPart& part : kExpertParts) add(kLayerPrefix, part.gguf, experts->*part.own);
  for (const GgufException& part : row.gguf.exceptions) add(kLayerPrefix, part.gguf, part.own);
  return names;
}

bool is_rotary_table(std::string_view name) {
  return name == "rope_freqs.weight" || name.starts_with("rope_factors_");
}

TensorPlace place_of(const Names& names, std::string_view gguf) {
  TensorPlace unknown{std::string(gguf)};
  if (is_rotary_table(gguf)) return {};
  std::string_view stem = gguf, layer;
  const bool bias = stem.ends_with(kBias);
  if (!bias && !stem.ends_with(kWeight)) return unknown;
  stem.remove_suffix(bias ? kBias.size() : kWeight.size());
  std::string key(stem);
  if (stem.starts_with(kLayerPrefix)) {
    const std::size_t dot = stem.find('.', kLayerPrefix.size());
    if (dot == stem.npos) return unknown;
    layer = stem.substr(kLayerPrefix.size(), dot - kLayerPrefix.size());
    if (layer.empty() || !std::ranges::all_of(layer, [](char c) { return c >= '0' && c <= '9'; }))
      return unknown;
    key = std::string(kLayerPrefix).append(stem.substr(dot + 1));
  }
  const auto found = names.find(key);
  if (found == names.end()) return unknown;
  std::string name = found->second.pattern;
  if (const std::size_t at = name.find(kOwnLayer); at != name.npos) name.replace(at, kOwnLayer.size(), layer);
  if (bias && name.ends_with(kWeight)) return {bias_name(name), found->second.bias, found->second.split};
  return {std::move(name), found->second.weight, found->second.split};
}

/// Whether the row's condition holds for the files.
bool holds(const GgufTraits& traits, const GgufFiles& files) {
  if (!traits.when_tensor.empty()) return !files.shape_of(traits.when_tensor).empty();
  const std::string key = std::string(traits.architecture).append(".").append(traits.when.key);
  const GgufMetadata& gguf = files.metadata();
  if (!gguf.has(key)) return false;
  if (traits.when.value == "true" || traits.when.value == "false")
    return gguf.flag(key) == (traits.when.value == "true");
  return std::to_string(gguf.integer(key).value_or(-1)) == traits.when.value;
}

}  // namespace

std::string known_gguf_architectures() {
  std::string list;
  for (const ArchitectureSpec& row : architectures()) {
    const std::string name(row.gguf.architecture);
    if (!name.empty() && (", " + list + ",").find(", " + name + ",") == std::string::npos)
      list += (list.empty() ? "" : ", ") + name;
  }
  return list;
}

const ArchitectureSpec& gguf_architecture(const GgufFiles& files) {
  const GgufMetadata& gguf = files.metadata();
  const std::string key(kArchitectureKey);
  const std::string_view name = gguf.text(key).value_or("");
  const ArchitectureSpec* other = nullptr;
  for (const ArchitectureSpec& row : architectures()) {
    const GgufTraits& traits = row.gguf;
    if (name.empty() || traits.architecture != name) continue;
    if (traits.when_tensor.empty() && traits.when.key.empty())
      other = &row;
    else if (holds(traits, files))
      return row;
  }
  if (other != nullptr) return *other;
  throw_bad_input({.what = "GGUF architecture is not supported",
                   .file = gguf.file(),
                   .tensor = key,
                   .expected = known_gguf_architectures(),
                   .got = name.empty() ? "none" : shortened(std::string(name)),
                   .hint = "take the model's safetensors version, where its family is supported"});
}

std::string gguf_tensor_name(const ArchitectureSpec& row, std::string_view pattern, Index layer_index) {
  const auto layer_name = [&](std::string_view part) {
    return std::string(kLayerPrefix)
        .append(std::to_string(layer_index))
        .append(".")
        .append(part)
        .append(kWeight);
  };
  if (pattern.empty()) return {};
  for (const GgufException& part : row.gguf.exceptions)
    if (part.own == pattern) return layer_name(part.gguf);
  for (const Part& part : kModelParts)
    if (row.names.*part.own == pattern) return std::string(part.gguf).append(kWeight);
  for (const Part& part : kLayerParts)
    if (row.names.*part.own == pattern) return layer_name(part.gguf);
  if (const ExpertNames* experts = single_experts(row); experts != nullptr)
    for (const ExpertPart& part : kExpertParts)
      if (experts->*part.own == pattern) return layer_name(part.gguf);
  return {};
}

TensorNaming gguf_naming(const ArchitectureSpec& row) {
  return [names = names_of(row)](std::string_view gguf) { return place_of(names, gguf); };
}

}  // namespace defectoscope
