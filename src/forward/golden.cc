#include "forward/golden.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "forward/test_architectures.h"

namespace defectoscope {
namespace {

using nlohmann::json;

Matrix matrix_at(const std::vector<float>& values, Index first, Index rows, Index cols) {
  Matrix matrix(rows, cols);
  std::copy_n(values.data() + first, rows * cols, matrix.data());
  return matrix;
}

/// A configuration for a family of test_architectures(), read by hand.
ModelConfig config_of(const ArchitectureSpec& row, const json& values) {
  const auto integer = [&](std::initializer_list<const char*> keys, Index fallback) -> Index {
    for (const char* key : keys)
      if (values.contains(key)) return values[key].get<Index>();
    return fallback;
  };
  ModelConfig config;
  config.architecture = &row;
  config.model_type = values["model_type"];
  config.hidden_size = integer({"hidden_size", "n_embd", "d_model"}, 0);
  config.layers = integer({"num_hidden_layers", "n_layer", "n_layers"}, 0);
  config.heads = integer({"num_attention_heads", "n_head", "n_heads"}, 0);
  config.kv_heads = integer({"num_key_value_heads"}, config.heads);
  config.head_dim = integer({"head_dim"}, config.hidden_size / config.heads);
  config.ffn_size = integer({"intermediate_size"}, 4 * config.hidden_size);
  config.vocab_size = integer({"vocab_size"}, 0);
  config.max_positions = integer({"max_position_embeddings", "n_positions", "max_seq_len"}, 0);
  for (const char* key : {"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"})
    if (values.contains(key)) config.norm_eps = values[key];
  config.activation = test_activation(row);
  config.rotary_dim = integer({"rotary_dim"}, static_cast<Index>(static_cast<double>(config.head_dim) *
                                                                 values.value("rotary_pct", 1.0)));
  config.rope_base = values.value("rope_theta", 10000.0);
  config.tied_embeddings = values["tie_word_embeddings"];
  return config;
}

}  // namespace

Golden read_golden(const std::string& name) {
  const std::filesystem::path folder =
      std::filesystem::path(DEFECTOSCOPE_SOURCE_DIR) / "src/forward/testdata";
  const json values = json::parse(read_file(folder / (name + ".json")));
  Golden golden;
  golden.name = name;
  golden.config_json = values["config"].dump();
  golden.seed = values["seed"];
  for (const json& tensor : values["tensors"])
    golden.tensors.push_back({tensor["name"], tensor["shape"], tensor["exponent"], tensor["offset"]});
  for (const json& sample : values["samples"])
    golden.samples.push_back({sample["name"], sample["index"], sample["bits"]});
  golden.sequences = values["sequences"];

  const auto file = SafetensorsFile::open(folder / (name + ".safetensors"));
  for (std::size_t i = 0; i < golden.sequences.size(); ++i) {
    const Tensor& hidden = file->tensors().at("hidden." + std::to_string(i));
    const Index rows = hidden.shape[1], cols = hidden.shape[2];
    std::vector<Matrix> layers;
    for (Index layer = 0; layer < hidden.shape[0]; ++layer)
      layers.push_back(matrix_at(to_f32(hidden), layer * rows * cols, rows, cols));
    golden.hidden.push_back(std::move(layers));
    const Tensor& logits = file->tensors().at("logits." + std::to_string(i));
    golden.logits.push_back(matrix_at(to_f32(logits), 0, logits.shape[0], logits.shape[1]));
  }
  return golden;
}

Model open_golden(const Golden& golden, DType dtype) {
  const json values = json::parse(golden.config_json);
  const std::string model_type = values["model_type"];
  if (find_architecture(model_type) == nullptr) {
    const ArchitectureSpec& row = find_test_architecture(model_type);
    return {config_of(row, values), generated_checkpoint(golden.tensors, golden.seed, dtype), golden.name};
  }
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) /
                                       ("forward_golden_" + golden.name + "_" +
                                        std::string(dtype_name(dtype)) + "_" + std::to_string(::getpid()));
  write_generated_model(folder, golden.config_json, golden.tensors, golden.seed, dtype);
  Model model = Model::open(folder);
  std::filesystem::remove_all(folder);  // the maps stay
  return model;
}

}  // namespace defectoscope
