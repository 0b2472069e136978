#include "forward/golden.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "checkpoint/safetensors.h"

namespace defectoscope {
namespace {

using nlohmann::json;

Matrix matrix_at(const std::vector<float>& values, Index first, Index rows, Index cols) {
  Matrix matrix(rows, cols);
  std::copy_n(values.data() + first, rows * cols, matrix.data());
  return matrix;
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
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) /
                                       ("forward_golden_" + golden.name + "_" +
                                        std::string(dtype_name(dtype)) + "_" + std::to_string(::getpid()));
  write_generated_model(folder, golden.config_json, golden.tensors, golden.seed, dtype);
  Model model = Model::open(folder);
  std::filesystem::remove_all(folder);  // the maps stay
  return model;
}

double relative_error(ConstMatrixView got, ConstMatrixView expected) {
  double difference = 0, size = 0;
  for (Index r = 0; r < expected.rows(); ++r) {
    for (Index c = 0; c < expected.cols(); ++c) {
      const double e = expected(r, c), delta = got(r, c) - e;
      difference += delta * delta;
      size += e * e;
    }
  }
  return std::sqrt(difference / size);
}

}  // namespace defectoscope
