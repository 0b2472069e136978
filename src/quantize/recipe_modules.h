#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/index.h"
#include "model/architecture.h"

namespace defectoscope {

/// A module with weights, as the tools that quantize see it.
struct ListedModule {
  std::string name;        ///< in full, of the causal model: "model.layers.1.mlp.down_proj"
  std::string gguf;        ///< llama.cpp's tensor: "blk.1.ffn_down.weight"; empty where it has none
  std::string class_name;  ///< "Linear", "Conv1D" (GPT-2), "Embedding"; empty for norms
  bool is_head = false;
};

/// Every module with weights of a model of `layers` layers, in the order of the forward pass. Names are those
/// at run time: the family's own prefix, also where a checkpoint was stored without it. A head that the
/// checkpoint calls otherwise ("embed_out") is listed under both names: transformers 5 renames it. Beside
/// separate query, key, value and gate, up stand the modules that vLLM and TensorRT-LLM fuse them into.
/// O(layers).
std::vector<ListedModule> listed_modules(const ArchitectureSpec& row, Index layers);

/// What a recipe shall do to a model.
struct RecipeTarget {
  std::string model;                  ///< its name, for comments
  std::vector<Index> skip_layers;     ///< 1-based, ascending
  std::vector<ListedModule> modules;  ///< all of them
  std::vector<ListedModule> skipped;  ///< of these, the FFN's second matrices (F2) of skip_layers
  std::vector<std::string> heads;     ///< the LM head's names; empty where the family has no head
  bool transposed = false;            ///< the matrices are Conv1D modules, stored [in, out]
};

/// Throws Error(kUsage) on a layer the model lacks, Error(kBadInput) on one without an FFN.
RecipeTarget recipe_target(std::string_view model, const ArchitectureSpec& row, Index layers,
                           const std::vector<Index>& skip_layers);

}  // namespace defectoscope
