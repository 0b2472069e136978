#include "model/model_files.h"

#include <set>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "model/gguf_config.h"
#include "model/gguf_names.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigName = "config.json";

ModelFiles open_gguf(const fs::path& path) {
  const GgufFiles files = GgufFiles::open(path);
  const ArchitectureSpec& row = gguf_architecture(files.metadata());
  return {gguf_config(files, row), files.tensors(gguf_naming(row))};
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

}  // namespace

ModelFiles open_model_files(const fs::path& path) {
  if (fs::is_regular_file(path)) {
    if (path.extension() == ".gguf") return open_gguf(path);
    throw_bad_input({.what = "not a model's file",
                     .file = path.string(),
                     .expected = "a .gguf file, or a folder with config.json and weights",
                     .hint = "name the folder that holds it"});
  }
  if (fs::is_directory(path) && !has_weights(path))
    if (const fs::path gguf = gguf_in(path); !gguf.empty()) return open_gguf(gguf);
  std::shared_ptr<const Checkpoint> checkpoint = open_checkpoint(path);
  const fs::path config = path / kConfigName;
  return {parse_config(read_file(config), config.string()), std::move(checkpoint)};
}

}  // namespace defectoscope
