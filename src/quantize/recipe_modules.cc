#include "quantize/recipe_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "base/error.h"
#include "model/gguf_names.h"
#include "model/model.h"
#include "model/tensor_plan.h"
#include "quantize/module_id.h"

namespace defectoscope {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kPerHead = ".{head}";
constexpr std::string_view kHead = "lm_head";  // what transformers 5 calls every language model's head

std::string module_of(std::string_view prefix, std::string_view pattern, Index layer_index) {
  // Norms with one tensor a head are one module.
  std::string name = tensor_name(prefix, pattern.substr(0, pattern.find(kPerHead)), layer_index);
  if (name.ends_with(kWeight)) name.resize(name.size() - kWeight.size());
  return name;
}

/// "model.layers.0.self_attn.q_proj" → "model.layers.0.self_attn.qkv_proj".
std::string sibling(const std::string& name, std::string_view last) {
  return name.substr(0, name.rfind('.') + 1).append(last);
}

class Lister {
 public:
  explicit Lister(const ArchitectureSpec& row) : row_(row) {}

  /// By the row's pattern; null where the row has none or the module is listed already (parts of a fused
  /// one).
  ListedModule* add(std::string_view pattern, std::string_view class_name, Index layer_index = 0) {
    if (pattern.empty()) return nullptr;
    return add_named(module_of(row_.names.prefixes.front(), pattern, layer_index),
                     gguf_tensor_name(row_, pattern, layer_index), class_name);
  }
  ListedModule* add_named(std::string name, std::string gguf, std::string_view class_name) {
    if (!names_.insert(name).second) return nullptr;
    modules_.push_back(
        {.name = std::move(name), .gguf = std::move(gguf), .class_name = std::string(class_name)});
    return &modules_.back();
  }
  std::vector<ListedModule> take() { return std::move(modules_); }

 private:
  const ArchitectureSpec& row_;
  std::set<std::string> names_;
  std::vector<ListedModule> modules_;
};

/// A layer's experts, in all their spellings.
class ExpertLister {
 public:
  ExpertLister(const ModuleShape& shape, Index layer, Lister& list)
      : shape_(shape), layer_(layer), list_(list) {}

  void add() {
    for (const ExpertNames& names : shape_.row.experts.spellings) {
      router(names.router, "ffn_gate_inp");
      if (names.packed_down.empty()) {
        each(module(names.gate), "ffn_gate_exps", false);
        each(module(names.up), "ffn_up_exps", false);
        each(module(names.down), "ffn_down_exps", true);
      } else {
        packed(names);
      }
      if (shape_.experts.shared_ffn_size == 0 || names.shared_down.empty()) continue;
      matrix(module(names.shared_gate), "ffn_gate_shexp", false);
      matrix(module(names.shared_up), "ffn_up_shexp", false);
      list_.add_named(sibling(module(names.shared_up), "gate_up_proj"), "", kLinear);
      matrix(module(names.shared_down), "ffn_down_shexp", true);
      router(names.shared_switch, "ffn_gate_inp_shexp");
    }
  }

 private:
  static constexpr std::string_view kLinear = "Linear";

  std::string module(std::string_view pattern) const {
    return module_of(shape_.row.names.prefixes.front(), pattern, layer_);
  }
  std::string gguf(std::string_view part) const { return fmt::format("blk.{}.{}.weight", layer_, part); }

  void router(std::string_view pattern, std::string_view part) {
    if (pattern.empty()) return;
    if (ListedModule* added = list_.add_named(module(pattern), gguf(part), kLinear)) {
      added->is_router = true;
      added->open = std::string(shape_.row.names.prefixes.front()).append(pattern);
      added->open.resize(added->open.size() - kWeight.size());
    }
  }
  ListedModule* matrix(const std::string& name, std::string_view part, bool is_down) {
    ListedModule* added = list_.add_named(name, gguf(part), kLinear);
    if (added != nullptr && is_down) added->down_of = layer_;
    return added;
  }
  /// "….experts.{}.down_proj" of every expert.
  void each(const std::string& open, std::string_view part, bool is_down) {
    for (Index expert = 0; expert < shape_.experts.experts; ++expert)
      if (ListedModule* added = matrix(tensor_name("", open, expert), part, is_down)) added->open = open;
  }
  void packed(const ExpertNames& names) {
    const std::string down = module(names.packed_down), experts = down.substr(0, down.rfind('.'));
    list_.add_named(module(names.packed_gate_up), "", kPackedExperts);
    if (ListedModule* added = list_.add_named(down, gguf("ffn_down_exps"), kPackedExperts))
      added->down_of = layer_;
    list_.add_named(experts, "", "FusedMoE");
    each(experts + ".{}.gate_proj", "ffn_gate_exps", false);
    each(experts + ".{}.up_proj", "ffn_up_exps", false);
    each(experts + ".{}.down_proj", "ffn_down_exps", true);
  }

  const ModuleShape& shape_;
  Index layer_;
  Lister& list_;
};

void add_attention(const ModuleShape& shape, Index layer, Lister& list) {
  const ArchitectureSpec& row = shape.row;
  const TensorNames& names = row.names;
  const std::string_view linear = row.transposed_weights ? "Conv1D" : "Linear";
  const std::string_view prefix = names.prefixes.front();
  for (const std::string_view norm : {names.attention_norm, names.query_norm, names.key_norm})
    list.add(norm, "", layer);
  if (row.latent_attention) {
    if (shape.query_latent) {
      list.add(names.query_latent, linear, layer);
      list.add(names.query_latent_norm, "", layer);
      list.add(names.query_expand, linear, layer);
      list.add_named(sibling(module_of(prefix, names.query_latent, layer), "fused_qkv_a_proj"), "", linear);
    } else {
      list.add(names.query, linear, layer);
    }
    list.add(names.kv_latent, linear, layer);
    list.add(names.kv_latent_norm, "", layer);
    list.add(names.kv_expand, linear, layer);
  } else {
    for (const std::string_view matrix : {names.query, names.key, names.value, names.fused_qkv})
      list.add(matrix, linear, layer);
    if (row.qkv == QkvLayout::kSeparate && !names.query.empty())
      list.add_named(sibling(module_of(prefix, names.query, layer), "qkv_proj"), "", linear);
  }
  list.add(names.attention_output, linear, layer);
}

void add_layer(const ModuleShape& shape, Index layer, Lister& list) {
  const ArchitectureSpec& row = shape.row;
  const TensorNames& names = row.names;
  const std::string_view linear = row.transposed_weights ? "Conv1D" : "Linear";
  add_attention(shape, layer, list);
  for (const std::string_view norm : {names.attention_post_norm, names.ffn_norm}) list.add(norm, "", layer);
  if (shape.experts.in_layer(layer)) {
    ExpertLister(shape, layer, list).add();
  } else {
    for (const std::string_view matrix : {names.gate, names.up}) list.add(matrix, linear, layer);
    if (row.ffn == FfnForm::kGated && !names.gate.empty())
      list.add_named(sibling(module_of(names.prefixes.front(), names.gate, layer), "gate_up_proj"), "",
                     linear);
    if (ListedModule* down = list.add(names.down, linear, layer)) down->down_of = layer;
  }
  list.add(names.ffn_post_norm, "", layer);
}

}  // namespace

ModuleShape module_shape(const Model& model) {
  const ModelConfig& config = model.config();
  return {.row = *config.architecture,
          .layers = config.layers,
          .experts = config.experts,
          .query_latent = config.query_latent > 0};
}

std::vector<ListedModule> listed_modules(const ModuleShape& shape) {
  const ArchitectureSpec& row = shape.row;
  const TensorNames& names = row.names;
  Lister list(row);
  list.add(names.embedding, "Embedding");
  list.add(names.position_embedding, "Embedding");
  list.add(names.token_type_embedding, "Embedding");
  list.add(names.project_in, "Linear");
  list.add(names.embedding_norm, "");
  for (Index layer = 0; layer < shape.layers; ++layer) add_layer(shape, layer, list);
  list.add(names.final_norm, "");
  list.add(names.project_out, "Linear");
  if (!names.head_dense.empty()) list.add_named(module_of("", names.head_dense, 0), "", "Linear");
  if (!names.lm_head.empty()) {
    const std::string gguf = gguf_tensor_name(row, names.lm_head);
    std::vector<std::string> heads = {module_of("", names.lm_head, 0)};
    if (row.causal) heads.emplace_back(kHead);
    for (std::string& head : heads)
      if (ListedModule* added = list.add_named(std::move(head), gguf, "Linear")) added->is_head = true;
  }
  return list.take();
}

RecipeTarget recipe_target(std::string_view model, const ModuleShape& shape,
                           const std::vector<Index>& skip_layers) {
  check_layers(model, shape.layers, skip_layers);
  RecipeTarget target{.model = std::string(model),
                      .skip_layers = skip_layers,
                      .modules = listed_modules(shape),
                      .skipped = {},
                      .kept = {},
                      .transposed = shape.row.transposed_weights};
  std::ranges::sort(target.skip_layers);
  target.skip_layers.erase(std::ranges::unique(target.skip_layers).begin(), target.skip_layers.end());
  for (const ListedModule& module : target.modules)
    if (module.is_head || module.is_router) target.kept.push_back(module);
  for (const Index layer : target.skip_layers) {
    const std::size_t before = target.skipped.size();
    std::ranges::copy_if(target.modules, std::back_inserter(target.skipped),
                         [&](const ListedModule& module) { return module.down_of == layer - 1; });
    if (target.skipped.size() == before)
      throw_bad_input(
          {.what = fmt::format("layer {} of {} has no feed-forward network to skip", layer, model),
           .expected = "a layer with an FFN, whose second matrix is left in 16 bits",
           .got = fmt::format("family {}, which has none", shape.row.name)});
  }
  return target;
}

}  // namespace defectoscope
