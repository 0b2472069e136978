#include "quantize/recipe_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "model/gguf_names.h"
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

  void add(std::string_view pattern, std::string_view class_name, Index layer_index = 0) {
    if (pattern.empty()) return;
    std::string name = module_of(row_.names.prefixes.front(), pattern, layer_index);
    if (!names_.insert(name).second) return;  // parts of one fused matrix
    modules_.push_back(
        {std::move(name), gguf_tensor_name(row_, pattern, layer_index), std::string(class_name), false});
  }
  void add_named(std::string name, std::string gguf, bool is_head) {
    if (names_.insert(name).second) modules_.push_back({std::move(name), std::move(gguf), "Linear", is_head});
  }
  std::vector<ListedModule> take() { return std::move(modules_); }

 private:
  const ArchitectureSpec& row_;
  std::set<std::string> names_;
  std::vector<ListedModule> modules_;
};

void add_layer(const ArchitectureSpec& row, Index layer, Lister& list) {
  const TensorNames& names = row.names;
  const std::string_view linear = row.transposed_weights ? "Conv1D" : "Linear";
  const std::string_view prefix = names.prefixes.front();
  for (const std::string_view norm : {names.attention_norm, names.query_norm, names.key_norm})
    list.add(norm, "", layer);
  for (const std::string_view matrix : {names.query, names.key, names.value, names.fused_qkv})
    list.add(matrix, linear, layer);
  if (row.qkv == QkvLayout::kSeparate && !names.query.empty())
    list.add_named(sibling(module_of(prefix, names.query, layer), "qkv_proj"), "", false);
  list.add(names.attention_output, linear, layer);
  for (const std::string_view norm : {names.attention_post_norm, names.ffn_norm}) list.add(norm, "", layer);
  for (const std::string_view matrix : {names.gate, names.up}) list.add(matrix, linear, layer);
  if (row.ffn == FfnForm::kGated && !names.gate.empty())
    list.add_named(sibling(module_of(prefix, names.gate, layer), "gate_up_proj"), "", false);
  list.add(names.down, linear, layer);
  list.add(names.ffn_post_norm, "", layer);
}

}  // namespace

std::vector<ListedModule> listed_modules(const ArchitectureSpec& row, Index layers) {
  const TensorNames& names = row.names;
  Lister list(row);
  list.add(names.embedding, "Embedding");
  list.add(names.position_embedding, "Embedding");
  list.add(names.token_type_embedding, "Embedding");
  list.add(names.project_in, "Linear");
  list.add(names.embedding_norm, "");
  for (Index layer = 0; layer < layers; ++layer) add_layer(row, layer, list);
  list.add(names.final_norm, "");
  list.add(names.project_out, "Linear");
  if (!names.head_dense.empty()) list.add_named(module_of("", names.head_dense, 0), "", false);
  if (!names.lm_head.empty()) {
    const std::string gguf = gguf_tensor_name(row, names.lm_head);
    list.add_named(module_of("", names.lm_head, 0), gguf, true);
    if (row.causal) list.add_named(std::string(kHead), gguf, true);
  }
  return list.take();
}

RecipeTarget recipe_target(std::string_view model, const ArchitectureSpec& row, Index layers,
                           const std::vector<Index>& skip_layers) {
  check_layers(model, layers, skip_layers);
  RecipeTarget target{.model = std::string(model),
                      .skip_layers = skip_layers,
                      .modules = listed_modules(row, layers),
                      .skipped = {},
                      .heads = {},
                      .transposed = row.transposed_weights};
  std::ranges::sort(target.skip_layers);
  target.skip_layers.erase(std::ranges::unique(target.skip_layers).begin(), target.skip_layers.end());
  for (const ListedModule& module : target.modules)
    if (module.is_head) target.heads.push_back(module.name);
  for (const Index layer : target.skip_layers) {
    if (row.names.down.empty())
      throw_bad_input(
          {.what = fmt::format("layer {} of {} has no feed-forward network to skip", layer, model),
           .expected = "a layer with an FFN, whose second matrix is left in 16 bits",
           .got = fmt::format("family {}, which has none", row.name)});
    const std::string name = module_of(row.names.prefixes.front(), row.names.down, layer - 1);
    target.skipped.push_back(*std::ranges::find(target.modules, name, &ListedModule::name));
  }
  return target;
}

}  // namespace defectoscope
