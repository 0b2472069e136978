#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/index.h"
#include "model/architecture.h"
#include "model/expert_config.h"

namespace defectoscope {

class Model;

/// The class_name of a tensor that holds one matrix of all experts.
inline constexpr std::string_view kPackedExperts = "Parameter";

/// A module with weights, as the tools that quantize see it.
struct ListedModule {
  std::string name;        ///< in full, of the causal model: "model.layers.1.mlp.down_proj"
  std::string gguf;        ///< llama.cpp's tensor: "blk.1.ffn_down.weight"; empty where it has none
  std::string class_name;  ///< "Linear", "Conv1D" (GPT-2), "Embedding", kPackedExperts, "FusedMoE"
                           ///< (vLLM's module of all experts); empty for norms
  bool is_head = false;
  bool is_router = false;  ///< chooses experts, or switches the shared one
  Index down_of = -1;      ///< the layer (0-based) whose FFN's second matrix it is, or an expert's of it
  /// The name with `{}` for a number that an expression may leave open: an expert's, a router's layer. Empty
  /// where there is none.
  std::string open = {};
};

/// What the names of a model's modules depend on.
struct ModuleShape {
  const ArchitectureSpec& row;
  Index layers = 0;
  ExpertConfig experts = {};
  bool query_latent = false;  ///< MLA's queries come by way of a latent
};
ModuleShape module_shape(const Model& model);

/// Every module with weights, in the order of the forward pass. Names are those at run time: the family's own
/// prefix, also where a checkpoint was stored without it. A head that the checkpoint calls otherwise
/// ("embed_out") is listed under both names: transformers 5 renames it. Beside separate query, key, value and
/// gate, up stand the modules that vLLM and TensorRT-LLM fuse them into. Experts are listed under all the
/// names a program may give them: as published, packed into one tensor (transformers 5), and taken apart
/// again (the tools that quantize matrices one by one). O(layers · experts).
std::vector<ListedModule> listed_modules(const ModuleShape& shape);

/// What a recipe shall do to a model.
struct RecipeTarget {
  std::string model;                  ///< its name, for comments
  std::vector<Index> skip_layers;     ///< 1-based, ascending
  std::vector<ListedModule> modules;  ///< all of them
  std::vector<ListedModule>
      skipped;  ///< of these, the FFN's second matrices (F2) of skip_layers, of every expert
  std::vector<ListedModule> kept;  ///< of these, the LM head's names and routers
  bool transposed = false;         ///< the matrices are Conv1D modules, stored [in, out]
};

/// Throws Error(kUsage) on a layer the model lacks, Error(kBadInput) on one without an FFN.
RecipeTarget recipe_target(std::string_view model, const ModuleShape& shape,
                           const std::vector<Index>& skip_layers);

}  // namespace defectoscope
