#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "quantize/recipe.h"

namespace defectoscope {

// Each tool's file: how it is written, how its programs read it. One pair a tool, listed in recipe_tools().

// recipe_torch.cc: files of the PyTorch tools in JSON
std::string write_compressed_tensors(const RecipeTarget& target);
std::vector<RecipeReading> read_compressed_tensors(const std::string& text);
/// OpenSpelling of compressed-tensors' lists.
std::string compressed_tensors_spelling(const ListedModule& module);
std::string write_bitsandbytes(const RecipeTarget& target);
std::vector<RecipeReading> read_bitsandbytes(const std::string& text);
std::string write_gptqmodel(const RecipeTarget& target);
std::vector<RecipeReading> read_gptqmodel(const std::string& text);
std::string write_torchao(const RecipeTarget& target);
std::vector<RecipeReading> read_torchao(const std::string& text);

// recipe_vendors.cc: the processor makers' tools in JSON
/// OpenSpelling of lists of shell wildcards.
std::string wildcard_spelling(const ListedModule& module);
std::string write_tensorrt_llm(const RecipeTarget& target);
std::vector<RecipeReading> read_tensorrt_llm(const std::string& text);
std::string write_neural_compressor(const RecipeTarget& target);
std::vector<RecipeReading> read_neural_compressor(const std::string& text);
std::string write_nncf(const RecipeTarget& target);
std::vector<RecipeReading> read_nncf(const std::string& text);

// recipe_yaml.cc
std::string write_llm_compressor(const RecipeTarget& target);
std::vector<RecipeReading> read_llm_compressor(const std::string& text);
std::string write_modelopt(const RecipeTarget& target);
std::vector<RecipeReading> read_modelopt(const std::string& text);

// recipe_text.cc: what is neither
std::string write_autoawq(const RecipeTarget& target);
std::vector<RecipeReading> read_autoawq(const std::string& text);
std::string write_llama_cpp(const RecipeTarget& target);
std::vector<RecipeReading> read_llama_cpp(const std::string& text);

/// How a tool's file spells all modules that differ in an open number (ListedModule::open) at once; empty:
/// each by its own name.
using OpenSpelling = std::function<std::string(const ListedModule&)>;
/// The names a list of modules to leave alone holds: the head's first and routers', then the skipped
/// matrices'.
std::vector<std::string> names_with_head(const RecipeTarget& target, const OpenSpelling& open = {});
/// "experts.{}.down_proj" → "experts.*.down_proj".
std::string with_number(std::string_view open, std::string_view number);
/// A regular expression that takes the module's name, with any open number, and nothing else, but for
/// anchors.
std::string expression(const ListedModule& module);
/// Those of the skipped matrices, each once.
std::vector<std::string> skipped_expressions(const RecipeTarget& target);
/// A regular expression that takes the name and nothing else, but for anchors.
std::string escaped(const std::string& name);
/// Error(kBadInput): the text is not the file the tool reads.
[[noreturn]] void throw_unreadable(std::string_view tool, const std::string& why);

}  // namespace defectoscope
