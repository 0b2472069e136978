#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "base/error.h"
#include "checkpoint/pytorch_bin.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/strict_json.h"
#include "checkpoint/tensor_set.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

/// One container of shards: how its files are called and read.
struct Container {
  const char* index;
  const char* single;
  const char* prefix;  ///< of the files that are read without an index
  const char* suffix;
  void (*add)(const fs::path&, TensorSet&);
};

void add_safetensors(const fs::path& path, TensorSet& set) {
  set.begin_file(path);
  const auto file = SafetensorsFile::open(path);
  for (const auto& [name, tensor] : file->tensors()) set.add(tensor);
}

/// In the order they are looked for. PyTorch's needs its prefix: optimizers and arguments end in .bin too.
constexpr Container kContainers[] = {
    {"model.safetensors.index.json", "model.safetensors", "", ".safetensors", add_safetensors},
    {"pytorch_model.bin.index.json", "pytorch_model.bin", "pytorch_model", ".bin", add_pytorch_bin}};

using WeightMap = std::map<std::string, std::string>;  // tensor → shard

WeightMap read_index(const fs::path& path, const std::string& suffix) {
  const std::string file = path.string();
  const nlohmann::json index = parse_strict_json(read_file(path), file);
  const auto fail = [&](const std::string& tensor, const std::string& expected, const std::string& got) {
    throw_bad_input({.what = "malformed shard index",
                     .file = file,
                     .tensor = tensor,
                     .expected = expected,
                     .got = got,
                     .hint = "download the file again"});
  };
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    fail("weight_map", "an object: tensor name to file name", "none");
  WeightMap map;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) fail(shortened(tensor), "a file name", shortened(shard.dump()));
    const auto& name = shard.get_ref<const std::string&>();
    // A name that leads out of the folder would let a downloaded model read any file of its user.
    if (name.empty() || name == "." || name == ".." ||
        name.find_first_of(std::string_view("/\\\0", 3)) != name.npos)
      fail(shortened(tensor), "the name of a file in the same folder", "\"" + shortened(name) + "\"");
    if (!name.ends_with(suffix)) fail(shortened(tensor), "a " + suffix + " file", shortened(name));
    map.emplace(tensor, name);
  }
  if (map.empty()) fail("weight_map", "at least one tensor", "none");
  return map;
}

std::shared_ptr<const Checkpoint> open_indexed(const fs::path& folder, const Container& container) {
  const fs::path index = folder / container.index;
  const WeightMap map = read_index(index, container.suffix);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map) shards.insert(shard);
  auto checkpoint = std::make_shared<TensorSet>();
  for (const std::string& shard : shards) {
    if (!fs::exists(folder / shard))
      throw_bad_input({.what = "shard missing",
                       .file = index.string(),
                       .expected = (folder / shard).string(),
                       .got = "no such file",
                       .hint = "download " + shard + " into the folder"});
    container.add(folder / shard, *checkpoint);
  }
  for (const auto& [tensor, shard] : map) {
    const fs::path holder = checkpoint->file_of(tensor);
    if (holder != folder / shard)
      throw_bad_input({.what = "tensor not in the shard that the index names",
                       .file = index.string(),
                       .tensor = shortened(tensor),
                       .expected = "in " + (folder / shard).string(),
                       .got = holder.empty() ? "in none of the shards" : "in " + holder.string(),
                       .hint = "index and shards are of different models: download both again"});
  }
  checkpoint->finish();
  return checkpoint;
}

/// Without an index, "name-00001-of-00003.safetensors" still tells how many shards there must be.
void check_shards_complete(const fs::path& folder, const std::vector<fs::path>& files) {
  static const std::regex kShard(R"((.*)-(\d{5})-of-(\d{5})(\.\w+))");
  std::set<std::string> names;
  for (const fs::path& file : files) names.insert(file.filename().string());
  for (const std::string& name : names) {
    std::smatch match;
    if (!std::regex_match(name, match, kShard)) continue;
    const int count = std::stoi(match[3]);
    for (int i = 1; i <= count; ++i) {
      std::string number = std::to_string(i);
      number.insert(0, 5 - number.size(), '0');
      const std::string wanted = match[1].str() + "-" + number + "-of-" + match[3].str() + match[4].str();
      if (!names.contains(wanted))
        throw_bad_input({.what = "shard missing",
                         .file = (folder / wanted).string(),
                         .expected = std::to_string(count) + " shards, as " + name + " says",
                         .got = "no such file",
                         .hint = "download it into the folder"});
    }
  }
}

std::vector<fs::path> weight_files(const fs::path& folder, const Container& container) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(container.prefix) && name.ends_with(container.suffix) &&
        name != "adapter_model.safetensors")
      files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

[[noreturn]] void fail_without_weights(const fs::path& folder) {
  std::string others;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const fs::path extension = entry.path().extension();
    if (extension == ".bin" || extension == ".gguf" || extension == ".pth" || extension == ".safetensors")
      others = entry.path().filename().string();
  }
  throw_bad_input({.what = "no weights in the folder",
                   .file = folder.string(),
                   .expected = "model.safetensors or pytorch_model.bin, or shards with their .index.json",
                   .got = others.empty() ? "no *.safetensors" : "only " + others,
                   .hint = others.empty() ? "name the folder that holds config.json and the weights"
                                          : "take the model's safetensors version, or convert it with "
                                            "save_pretrained(..., safe_serialization=True)"});
}

}  // namespace

std::vector<fs::path> Checkpoint::files() const { return {}; }

std::optional<StoredTensor> Checkpoint::stored(std::string_view name) const {
  const std::optional<Tensor> tensor = find(name);
  if (!tensor) return std::nullopt;
  return StoredTensor{std::string(dtype_name(tensor->dtype)),
                      tensor->shape,
                      {tensor->data, static_cast<std::size_t>(tensor->bytes())},
                      tensor->owner};
}

bool has_weights(const fs::path& folder) {
  return std::ranges::any_of(kContainers, [&](const Container& container) {
    return fs::exists(folder / container.index) || !weight_files(folder, container).empty();
  });
}

std::shared_ptr<const Checkpoint> open_checkpoint(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder, error))
    throw_bad_input({.what = "no such path", .file = folder.string(), .hint = "name a model's folder"});
  if (!fs::is_directory(folder, error))
    throw_bad_input({.what = "not a folder",
                     .file = folder.string(),
                     .expected = "a Hugging Face model folder: config.json, tokenizer, *.safetensors"});
  for (const Container& container : kContainers) {
    if (fs::exists(folder / container.index)) return open_indexed(folder, container);
    std::vector<fs::path> files = {folder / container.single};
    if (!fs::exists(files.front())) files = weight_files(folder, container);
    if (files.empty()) continue;
    check_shards_complete(folder, files);
    const auto checkpoint = std::make_shared<TensorSet>();
    for (const fs::path& file : files) container.add(file, *checkpoint);
    checkpoint->finish();
    return checkpoint;
  }
  fail_without_weights(folder);
}

}  // namespace defectoscope
