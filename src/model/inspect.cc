#include "model/inspect.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "model/tensor_plan.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

void compare(const std::vector<TensorSlot>& plan, const Checkpoint& checkpoint, Inspection& result) {
  std::map<DType, Inspection::DTypeCount> counts;
  for (const TensorSlot& slot : plan) {
    const std::optional<Tensor> tensor = checkpoint.find(slot.name);
    if (!tensor) {
      if (slot.required) result.missing.push_back({slot.name, slot.shape});
      continue;
    }
    if (tensor->shape != slot.shape) result.mismatched.push_back({slot.name, slot.shape, tensor->shape});
    if (!is_float_compute(tensor->dtype)) result.not_computable.push_back(slot.name);
    Inspection::DTypeCount& count = counts[tensor->dtype];
    count.dtype = tensor->dtype;
    ++count.tensors;
    count.parameters += tensor->elements();
    count.bytes += tensor->bytes();
    result.parameters += tensor->elements();
  }
  for (const auto& [dtype, count] : counts) result.dtypes.push_back(count);
  std::ranges::stable_sort(result.dtypes, std::ranges::greater(), &Inspection::DTypeCount::parameters);
}

void list_tensors(const std::vector<TensorSlot>& plan, const Checkpoint& checkpoint, std::string_view prefix,
                  Inspection& result) {
  std::set<std::string_view> known;
  for (const TensorSlot& slot : plan) known.insert(slot.name);
  for (const std::string& name : checkpoint.names()) {
    const Tensor tensor = *checkpoint.find(name);
    result.tensors.push_back({name, tensor.dtype, tensor.shape, checkpoint.file_of(name)});
    result.bytes += tensor.bytes();
    if (known.contains(name)) continue;
    (is_ignored(result.config, prefix, name) ? result.ignored : result.unknown).push_back(name);
  }
}

}  // namespace

Inspection inspect_model(const fs::path& folder, bool full_hash) {
  const std::shared_ptr<const Checkpoint> checkpoint = open_checkpoint(folder);
  const fs::path config_path = folder / "config.json";
  Inspection result;
  result.config = parse_config(read_file(config_path), config_path.string());
  result.family = result.config.architecture->name;
  const std::string_view prefix = find_prefix(*result.config.architecture, *checkpoint);
  const std::vector<TensorSlot> plan = tensor_plan(result.config, prefix);
  compare(plan, *checkpoint, result);
  list_tensors(plan, *checkpoint, prefix, result);
  for (const fs::path& file : checkpoint->files())
    result.files.push_back({file, static_cast<Index>(fs::file_size(file))});
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json",
                           "merges.txt", "vocab.txt", "special_tokens_map.json", "added_tokens.json"})
    if (fs::exists(folder / name)) result.tokenizer_files.emplace_back(name);
  result.fingerprint = fingerprint(*checkpoint, full_hash);
  return result;
}

}  // namespace defectoscope
