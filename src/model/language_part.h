#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace defectoscope {

class Checkpoint;

/// The language model's own settings where config.json is that of a multimodal model, which keeps them in
/// text_config (language_config, llm_config in some); nullopt where it is a language model's itself. Throws
/// Error(kBadInput) on invalid JSON.
std::optional<std::string> language_config(std::string_view json, const std::string& file);

/// The language model's tensors of a multimodal checkpoint under the names it has alone:
/// "language_model.model.layers.0…" and "model.language_model.layers.0…" become "model.layers.0…". Tensors of
/// other parts are left out, but for a head outside. A checkpoint without such names comes back as it is.
std::shared_ptr<const Checkpoint> language_tensors(std::shared_ptr<const Checkpoint> checkpoint);

}  // namespace defectoscope
