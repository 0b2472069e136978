#include "model/model_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/adapter.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/llama2c.h"
#include "checkpoint/quantization.h"
#include "checkpoint/strict_json.h"
#include "model/gguf_config.h"
#include "model/gguf_names.h"
#include "model/language_part.h"
#include "model/llama2c_config.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigName = "config.json";

ModelFiles open_gguf(const fs::path& path) {
  const GgufFiles files = GgufFiles::open(path);
  const ArchitectureSpec& row = gguf_architecture(files);
  return {gguf_config(files, row), files.tensors(gguf_naming(row)), files.metadata().file()};
}

ModelFiles open_llama2c(const fs::path& path) {
  const Llama2cFile file = Llama2cFile::open(path);
  const auto row = std::ranges::find_if(architectures(), [](const auto& r) { return r.gguf.llama2c; });
  return {llama2c_config(file.sizes(), *row, path.string()), file.tensors(gguf_naming(*row)),
          file.tokenizer_path()};
}

/// How the folder says its weights are quantized: in config.json, or in the file that GPTQ's first tools
/// wrote beside it.
Quantization read_quantization(const std::string& config, const fs::path& folder) {
  const std::string file = (folder / kConfigName).string();
  const nlohmann::json document = parse_strict_json(config, file);
  for (const char* key : {"quantization_config", "compression_config"})
    if (const auto found = document.find(key); found != document.end() && !found->is_null())
      return parse_quantization(*found, file);
  const fs::path older = folder / "quantize_config.json";
  if (!fs::exists(older)) return {};
  nlohmann::json settings = parse_strict_json(read_file(older), older.string());
  if (settings.is_object() && !settings.contains("quant_method")) settings["quant_method"] = "gptq";
  return parse_quantization(settings, older.string());
}

/// The GGUF model of a folder, its first part where it has several; empty where there is none.
fs::path gguf_in(const fs::path& folder) {
  std::set<fs::path> models;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".gguf") models.insert(first_gguf_part(entry.path()));
  if (models.size() > 1)
    throw_bad_input({.what = "several GGUF models in the folder",
                     .file = folder.string(),
                     .got = models.begin()->filename().string() + ", " +
                            std::next(models.begin())->filename().string() +
                            (models.size() > 2 ? ", ..." : ""),
                     .hint = "name the file itself"});
  return models.empty() ? fs::path() : *models.begin();
}

ModelFiles open_plain(const fs::path& path, std::string_view family) {
  const auto says_its_family = [&] {
    if (!family.empty())
      throw Error(ErrorKind::kUsage, "--family is for folders with a config.json; " +
                                         path.filename().string() + " says itself what its family is");
  };
  if (fs::is_regular_file(path)) {
    says_its_family();
    if (path.extension() == ".gguf") return open_gguf(path);
    if (Llama2cFile::recognises(MappedFile(path).bytes())) return open_llama2c(path);
    throw_bad_input({.what = "not a model's file",
                     .file = path.string(),
                     .expected = "a .gguf file, llama2.c's .bin, or a folder with config.json and weights",
                     .hint = "name the folder that holds it"});
  }
  if (fs::is_directory(path) && !has_weights(path))
    if (const fs::path gguf = gguf_in(path); !gguf.empty()) {
      says_its_family();
      return open_gguf(gguf);
    }
  std::shared_ptr<const Checkpoint> checkpoint = open_checkpoint(path);
  const fs::path config_path = path / kConfigName;
  std::string text = read_file(config_path);
  checkpoint = dequantized(std::move(checkpoint), read_quantization(text, path));
  if (std::optional<std::string> language = language_config(text, config_path.string())) {
    text = std::move(*language);
    checkpoint = language_tensors(std::move(checkpoint));
  }
  ModelConfig config = parse_config(text, config_path.string(), family);
  return {std::move(config), std::move(checkpoint)};
}

}  // namespace

ModelFiles open_model_files(const fs::path& path, const OpenOptions& options) {
  ModelFiles files = open_plain(path, options.family);
  if (!options.adapter.empty()) files.checkpoint = with_adapter(std::move(files.checkpoint), options.adapter);
  return files;
}

}  // namespace defectoscope
