#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/tensor_stream.h"
#include "synthesis/phantom.h"
#include "synthesis/phantom_tokenizer.h"

namespace defectoscope {

/// config.json of a shape, as its family writes it.
std::string config_json(const PhantomShape& shape, const PhantomTokenizer& tokenizer);
/// truth.json (schema "defectoscope.phantom/1").
std::string truth_json(const PhantomOptions& options, const PhantomTruth& truth);

/// Throws Error(kResources) where the disk that is to hold `folder` has no room for the shape's weights.
void require_space(const PhantomShape& shape, const std::filesystem::path& folder);

/// What makes a model's folder; config.json is written last, so that a folder that has it is complete.
struct ModelFolder {
  const PhantomOptions& options;
  const PhantomTokenizer& tokenizer;
  const std::vector<StreamedTensor>& tensors;
  const PhantomTruth& truth;
};

/// Writes all of it, or nothing: throws as write_phantom does, and removes what it wrote.
void write_model_folder(const ModelFolder& model, const std::filesystem::path& folder);

}  // namespace defectoscope
