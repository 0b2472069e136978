#include "model/inspect.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_set.h"
#include "model/language_part.h"
#include "model/model_files.h"
#include "model/tensor_plan.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "config.json";

Index bytes_of(const StoredTensor& stored, const Tensor& made) {
  auto bytes = static_cast<Index>(stored.bytes.size());
  for (const std::span<const std::byte> scales : stored.scales) bytes += static_cast<Index>(scales.size());
  return std::min(bytes, made.bytes());  // of a storage that strided tensors share
}

void compare(const std::vector<TensorSlot>& plan, const Checkpoint& checkpoint, Inspection& result) {
  std::map<std::string, Inspection::FormatCount> counts;
  for (const TensorSlot& slot : plan) {
    const std::optional<Tensor> tensor = checkpoint.describe(slot.name);
    if (!tensor) {
      if (!slot.required) continue;
      result.missing.push_back({slot.name, slot.shape});
      if (!result.weights) result.parameters += Tensor{{}, {}, slot.shape, {}, {}}.elements();
      continue;
    }
    if (tensor->shape != slot.shape) result.mismatched.push_back({slot.name, slot.shape, tensor->shape});
    if (!is_float_compute(tensor->dtype)) result.not_computable.push_back(slot.name);
    const StoredTensor stored = *checkpoint.stored(slot.name);
    Inspection::FormatCount& count = counts[stored.format];
    count.format = stored.format;
    ++count.tensors;
    count.parameters += tensor->elements();
    count.bytes += bytes_of(stored, *tensor);
    result.parameters += tensor->elements();
  }
  for (const auto& [format, count] : counts) result.dtypes.push_back(count);
  std::ranges::stable_sort(result.dtypes, std::ranges::greater(), &Inspection::FormatCount::parameters);
}

void list_tensors(const std::vector<TensorSlot>& plan, const Checkpoint& checkpoint, std::string_view prefix,
                  Inspection& result) {
  std::set<std::string_view> known;
  for (const TensorSlot& slot : plan) known.insert(slot.name);
  for (const std::string& name : checkpoint.names()) {
    const StoredTensor stored = *checkpoint.stored(name);
    const Tensor tensor = *checkpoint.describe(name);
    result.tensors.push_back({name, stored.format, tensor.shape, checkpoint.file_of(name)});
    result.bytes += bytes_of(stored, tensor);
    if (known.contains(name)) continue;
    (is_ignored(result.config, prefix, name) ? result.ignored : result.unknown).push_back(name);
  }
}

/// A Hugging Face folder before its weights are fetched.
bool is_config_alone(const fs::path& path) {
  if (!fs::exists(path / kConfigFile) || has_weights(path)) return false;
  return std::ranges::none_of(fs::directory_iterator(path),
                              [](const auto& entry) { return entry.path().extension() == ".gguf"; });
}

ModelFiles open_config_alone(const fs::path& path, std::string_view family) {
  const std::string file = (path / kConfigFile).string();
  std::string text = read_file(file);
  if (std::optional<std::string> language = language_config(text, file)) text = std::move(*language);
  return {parse_config(text, file, family), std::make_shared<const TensorSet>()};
}

}  // namespace

Inspection inspect_model(const fs::path& path, bool full_hash, const OpenOptions& options) {
  const auto [config, checkpoint, tokenizer] =
      is_config_alone(path) ? open_config_alone(path, options.family) : open_model_files(path, options);
  Inspection result;
  result.config = config;
  result.weights = !checkpoint->names().empty();
  result.family = result.config.architecture->name;
  const std::string_view prefix = find_prefix(*result.config.architecture, *checkpoint);
  const std::vector<TensorSlot> plan = tensor_plan(result.config, prefix, *checkpoint);
  compare(plan, *checkpoint, result);
  list_tensors(plan, *checkpoint, prefix, result);
  for (const fs::path& file : checkpoint->files())
    result.files.push_back({file, static_cast<Index>(fs::file_size(file))});
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json",
                           "merges.txt", "vocab.txt", "special_tokens_map.json", "added_tokens.json"})
    if (fs::exists(path / name)) result.tokenizer_files.emplace_back(name);
  if (!tokenizer.empty() && result.tokenizer_files.empty())
    result.tokenizer_files.push_back(tokenizer.filename().string());
  if (result.weights) result.fingerprint = fingerprint(*checkpoint, full_hash);
  return result;
}

}  // namespace defectoscope
