#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/strict_json.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";

/// One or several safetensors files seen as one set of tensors.
class ShardedCheckpoint : public Checkpoint {
 public:
  void add(const std::shared_ptr<const SafetensorsFile>& file) {
    files_.push_back(file->path());
    for (const auto& [name, tensor] : file->tensors()) {
      const auto [place, added] = tensors_.emplace(name, Placed{tensor, files_.size() - 1});
      if (!added)
        throw_bad_input({.what = "tensor present in two files",
                         .file = file->path().string(),
                         .tensor = shortened(name),
                         .got = "also in " + files_[place->second.file].string(),
                         .hint = "remove the file that does not belong to the model"});
      names_.push_back(name);
    }
  }
  void finish() { std::ranges::sort(names_); }

  const std::vector<std::string>& names() const override { return names_; }
  std::optional<Tensor> find(std::string_view name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return std::nullopt;
    return found->second.tensor;
  }
  fs::path file_of(std::string_view name) const override {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? fs::path() : files_[found->second.file];
  }
  std::vector<fs::path> files() const override { return files_; }

 private:
  struct Placed {
    Tensor tensor;
    std::size_t file;
  };
  std::map<std::string, Placed, std::less<>> tensors_;
  std::vector<std::string> names_;
  std::vector<fs::path> files_;
};

using WeightMap = std::map<std::string, std::string>;  // tensor → shard

WeightMap read_index(const fs::path& path) {
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
    if (!name.ends_with(".safetensors")) fail(shortened(tensor), "a .safetensors file", shortened(name));
    map.emplace(tensor, name);
  }
  if (map.empty()) fail("weight_map", "at least one tensor", "none");
  return map;
}

std::shared_ptr<const Checkpoint> open_indexed(const fs::path& folder) {
  const fs::path index = folder / kIndexName;
  const WeightMap map = read_index(index);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map) shards.insert(shard);
  auto checkpoint = std::make_shared<ShardedCheckpoint>();
  for (const std::string& shard : shards) {
    if (!fs::exists(folder / shard))
      throw_bad_input({.what = "shard missing",
                       .file = index.string(),
                       .expected = (folder / shard).string(),
                       .got = "no such file",
                       .hint = "download " + shard + " into the folder"});
    checkpoint->add(SafetensorsFile::open(folder / shard));
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
  static const std::regex kShard(R"((.*)-(\d{5})-of-(\d{5})\.safetensors)");
  std::set<std::string> names;
  for (const fs::path& file : files) names.insert(file.filename().string());
  for (const std::string& name : names) {
    std::smatch match;
    if (!std::regex_match(name, match, kShard)) continue;
    const int count = std::stoi(match[3]);
    for (int i = 1; i <= count; ++i) {
      std::string number = std::to_string(i);
      number.insert(0, 5 - number.size(), '0');
      const std::string wanted = match[1].str() + "-" + number + "-of-" + match[3].str() + ".safetensors";
      if (!names.contains(wanted))
        throw_bad_input({.what = "shard missing",
                         .file = (folder / wanted).string(),
                         .expected = std::to_string(count) + " shards, as " + name + " says",
                         .got = "no such file",
                         .hint = "download it into the folder"});
    }
  }
}

std::vector<fs::path> weight_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::string others;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const fs::path& path = entry.path();
    const std::string name = path.filename().string();
    if (path.extension() == ".safetensors" && name != "adapter_model.safetensors")
      files.push_back(path);
    else if (path.extension() == ".bin" || path.extension() == ".gguf" || path.extension() == ".pth" ||
             path.extension() == ".safetensors")
      others = name;
  }
  if (files.empty())
    throw_bad_input({.what = "no weights in the folder",
                     .file = folder.string(),
                     .expected = "model.safetensors, or shards with model.safetensors.index.json",
                     .got = others.empty() ? "no *.safetensors" : "only " + others,
                     .hint = others.empty() ? "name the folder that holds config.json and the weights"
                                            : "take the model's safetensors version, or convert it with "
                                              "save_pretrained(..., safe_serialization=True)"});
  std::ranges::sort(files);
  return files;
}

}  // namespace

std::vector<fs::path> Checkpoint::files() const { return {}; }

std::shared_ptr<const Checkpoint> open_checkpoint(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder, error))
    throw_bad_input({.what = "no such path", .file = folder.string(), .hint = "name a model's folder"});
  if (!fs::is_directory(folder, error))
    throw_bad_input({.what = "not a folder",
                     .file = folder.string(),
                     .expected = "a Hugging Face model folder: config.json, tokenizer, *.safetensors"});
  if (fs::exists(folder / kIndexName)) return open_indexed(folder);
  auto checkpoint = std::make_shared<ShardedCheckpoint>();
  if (fs::exists(folder / kSingleName)) {
    checkpoint->add(SafetensorsFile::open(folder / kSingleName));
  } else {
    const std::vector<fs::path> files = weight_files(folder);
    check_shards_complete(folder, files);
    for (const fs::path& file : files) checkpoint->add(SafetensorsFile::open(file));
  }
  checkpoint->finish();
  return checkpoint;
}

}  // namespace defectoscope
