#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/model_files.h"

namespace defectoscope {

/// What a model's folder or file holds, held against what its configuration calls for. Finding something
/// missing or unknown is a result here, not an error.
struct Inspection {
  ModelConfig config;
  std::string family;       ///< the architecture row's name
  std::string fingerprint;  ///< see fingerprint(); empty without weights
  bool weights = true;      ///< false: config.json alone, whose tensors are all missing

  struct TensorInfo {
    std::string name;
    std::string format;  ///< as it is stored: "bf16", "q4_k"
    std::vector<Index> shape;
    std::filesystem::path file;
  };
  std::vector<TensorInfo> tensors;  ///< all in the files, sorted by name

  struct FormatCount {
    std::string format;
    Index tensors = 0;
    Index parameters = 0;
    Index bytes = 0;  ///< in the files
  };
  std::vector<FormatCount> dtypes;  ///< of the model's own tensors, most parameters first
  /// Elements of the model's own tensors; tied ones count once. Without weights, of those it must have.
  Index parameters = 0;
  Index bytes = 0;  ///< of all tensors in the files

  struct File {
    std::filesystem::path path;
    Index bytes = 0;
  };
  std::vector<File> files;
  std::vector<std::string> tokenizer_files;  ///< those of the usual names that are there

  struct Missing {
    std::string name;
    std::vector<Index> shape;
  };
  std::vector<Missing> missing;      ///< required, but in none of the files
  std::vector<std::string> unknown;  ///< in the files, but nothing to the family
  std::vector<std::string> ignored;  ///< known to be stored without being weights (masks, rotary tables)

  struct Mismatch {
    std::string name;
    std::vector<Index> expected, got;
  };
  std::vector<Mismatch> mismatched;         ///< of another shape than config.json implies
  std::vector<std::string> not_computable;  ///< of a dtype that becomes neither f32, f16 nor bf16

  /// Whether Model::open would accept it.
  bool usable() const { return missing.empty() && mismatched.empty() && not_computable.empty(); }
};

/// Reads config, headers and the fingerprint's samples (all data with `full_hash`), so that 13.5 GB cost a
/// fraction of a second. A folder with a config.json alone is inspected too. Throws Error(kBadInput) where
/// the configuration or a header cannot be read.
Inspection inspect_model(const std::filesystem::path& path, bool full_hash = false,
                         const OpenOptions& options = {});

}  // namespace defectoscope
