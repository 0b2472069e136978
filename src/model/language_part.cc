#include "model/language_part.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/strict_json.h"
#include "checkpoint/tensor_set.h"

namespace defectoscope {
namespace {

using nlohmann::json;

constexpr const char* kParts[] = {"text_config", "language_config", "llm_config"};
/// Said once for the whole model by some.
constexpr const char* kShared[] = {"tie_word_embeddings", "torch_dtype", "dtype", "bos_token_id",
                                   "eos_token_id"};

struct Rename {
  std::string_view stored, own;
};
/// The first that fits counts.
constexpr Rename kRenames[] = {{"language_model.lm_head.", "lm_head."},
                               {"model.language_model.lm_head.", "lm_head."},
                               {"model.language_model.", "model."},
                               {"language_model.", ""},
                               {"lm_head.", "lm_head."}};

/// Empty where the tensor is none of the language model's.
std::string own_name(const std::string& stored) {
  for (const Rename& rename : kRenames)
    if (stored.starts_with(rename.stored))
      return std::string(rename.own).append(stored.substr(rename.stored.size()));
  return {};
}

}  // namespace

std::optional<std::string> language_config(std::string_view text, const std::string& file) {
  const json config = parse_strict_json(text, file);
  if (!config.is_object()) return std::nullopt;
  for (const char* part : kParts) {
    const auto found = config.find(part);
    if (found == config.end() || !found->is_object() || !found->contains("model_type")) continue;
    json language = *found;
    for (const char* key : kShared)
      if (!language.contains(key) && config.contains(key)) language[key] = config[key];
    return language.dump();
  }
  return std::nullopt;
}

std::shared_ptr<const Checkpoint> language_tensors(std::shared_ptr<const Checkpoint> checkpoint) {
  const auto& names = checkpoint->names();
  const auto within = [](const std::string& name) { return name.find("language_model.") != name.npos; };
  if (std::ranges::none_of(names, within)) return checkpoint;
  auto set = std::make_shared<TensorSet>();
  for (const std::filesystem::path& file : checkpoint->files()) {
    set->begin_file(file);
    for (const std::string& name : names) {
      const std::string own = own_name(name);
      if (!own.empty() && checkpoint->file_of(name) == file) set->add_from(checkpoint, name, own);
    }
  }
  set->finish();
  return set;
}

}  // namespace defectoscope
