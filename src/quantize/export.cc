#include "quantize/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/new_folder.h"
#include "checkpoint/tensor_stream.h"
#include "kernels/convert.h"
#include "kernels/gemm_int8.h"
#include "kernels/quantize.h"
#include "quantize/recipe_modules.h"

namespace defectoscope {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int kExportBits = 8;
constexpr Index kShardBytes = Index{5} << 30;

/// How one stored matrix is quantized.
struct Steps {
  std::vector<float> weight;  ///< one, or one an output
  float input = 0;            ///< 0: dynamic
};

/// The tensor asked for last: the rows of one are written one after the other, from several threads.
class LastTensor {
 public:
  explicit LastTensor(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}
  Tensor get(const std::string& name) {
    const std::lock_guard lock(mutex_);
    if (tensor_.name != name) tensor_ = checkpoint_.find(name).value();
    return tensor_;
  }

 private:
  const Checkpoint& checkpoint_;
  std::mutex mutex_;
  Tensor tensor_;
};

void check_method(const QuantMethod& method) {
  const QuantScheme& scheme = method.scheme;
  const bool eight = scheme.weight_bits == kExportBits && scheme.activation_bits == kExportBits;
  if (!method.quantizes || scheme.format != NumberFormat::kInteger || !eight ||
      scheme.outlier_threshold > 0 || scheme.weights == Granularity::kGroup ||
      scheme.activations == Granularity::kGroup)
    throw Error(ErrorKind::kUsage,
                fmt::format("only 8-bit integers with a step a tensor, output or token can be exported; got "
                            "{} ({})",
                            method.name, method.quantizes ? scheme_text(scheme) : "unquantized"));
}

void check_model(const Model& model) {
  const auto refuse = [&](const std::string& got,
                          const char* hint = "compressed-tensors knows no other kind") {
    throw Error(ErrorKind::kUsage, {.what = "this model cannot be exported",
                                    .file = model.folder().string(),
                                    .expected = "a Hugging Face folder whose matrices are torch.nn.Linear's",
                                    .got = got,
                                    .hint = hint});
  };
  std::error_code none;
  if (!fs::is_regular_file(model.folder() / "config.json", none)) refuse("no config.json beside the weights");
  if (model.config().architecture->transposed_weights) refuse("transposed matrices (Conv1D)");
  if (has_packed_experts(model))
    refuse(
        "all experts of a layer in one tensor",
        "compressed-tensors quantizes each expert's matrices: take the model as published with one tensor an "
        "expert, or take this one apart with transformers (docs/quantization.md, \"The exported model\")");
}

/// Steps of every stored matrix that is quantized, by the tensor's name; the others' paths go to `ignored`.
/// Throws Error(kUsage) where only a part of a fused matrix is left alone: a file says one thing of a matrix.
std::map<std::string, Steps> steps_of(const Model& model, const QuantMethod& method,
                                      const ActivationMaxima* maxima, std::vector<std::string>& ignored) {
  const QuantScheme& scheme = method.scheme;
  const int limit = integer_limit(kExportBits);
  std::map<std::string, Steps> all;
  std::map<std::string, ModuleId> first_parts;  // of every stored matrix
  for (const ModuleId id : quantizable_modules(model)) {
    const std::string name = weight_tensor(model, id);
    const bool skipped = method.skipped.contains(id);
    if (const auto [first, added] = first_parts.try_emplace(name, id); !added) {
      if (skipped != method.skipped.contains(first->second))
        throw Error(
            ErrorKind::kUsage,
            {.what = "a part of a matrix cannot be left alone in an exported model",
             .file = model.folder().string(),
             .tensor = name,
             .expected = "all its parts left alone, or none",
             .got = fmt::format("{} left alone, {} quantized", module_label(skipped ? id : first->second),
                                module_label(skipped ? first->second : id)),
             .hint = "skip the others too, or none of them"});
      continue;
    }
    if (skipped) {
      std::ranges::copy(module_names(model, id), std::back_inserter(ignored));
      continue;
    }
    const WeightMatrix weight = as_weight_matrix(model.checkpoint().find(name).value());
    Steps steps;
    const float largest = weight_max(weight);
    if (scheme.weights == Granularity::kChannel) {
      std::vector<float> row(static_cast<std::size_t>(weight.cols));
      for (Index r = 0; r < weight.rows; ++r) {
        weight.copy_row(r, row);
        steps.weight.push_back(symmetric_step(max_abs(row), limit));
      }
    } else {
      steps.weight = {symmetric_step(largest, limit)};
    }
    if (scheme.static_activations) steps.input = symmetric_step(maxima->largest(id), limit);
    all.emplace(name, std::move(steps));
  }
  return all;
}

StreamedTensor quantized_tensor(const Tensor& tensor, const Steps& steps,
                                const std::shared_ptr<LastTensor>& last) {
  return {.name = tensor.name,
          .dtype = DType::kI8,
          .shape = tensor.shape,
          .fill = [last, name = tensor.name, steps = steps.weight](Index begin, Index end, float* out) {
            const WeightMatrix weight = as_weight_matrix(last->get(name));
            widen_rows(weight, begin, end - begin, out, weight.cols);
            std::vector<std::int8_t> integers(static_cast<std::size_t>(weight.cols));
            for (Index r = begin; r < end; ++r, out += weight.cols) {
              const float step = steps.size() == 1 ? steps[0] : steps[static_cast<std::size_t>(r)];
              quantize_int8({out, integers.size()}, step, integer_limit(kExportBits), integers.data());
              std::ranges::copy(integers, out);
            }
          }};
}

StreamedTensor scale_tensor(std::string name, std::vector<float> steps) {
  const auto count = static_cast<Index>(steps.size());
  return {.name = std::move(name),
          .dtype = DType::kF32,
          .shape = count == 1 ? std::vector<Index>{1} : std::vector<Index>{count, 1},
          .fill = [steps = std::move(steps)](Index begin, Index end, float* out) {
            std::copy(steps.begin() + begin, steps.begin() + end, out);
          }};
}

StreamedTensor unchanged_tensor(const Tensor& tensor, const std::shared_ptr<LastTensor>& last) {
  return {.name = tensor.name,
          .dtype = tensor.dtype,
          .shape = tensor.shape,
          .fill = [last, name = tensor.name](Index begin, Index end, float* out) {
            const Tensor whole = last->get(name);
            const Index cols = whole.shape.size() == 1 ? whole.shape[0] : whole.elements() / whole.shape[0];
            convert_to_f32(whole.dtype, whole.data + begin * cols * dtype_size(whole.dtype),
                           (end - begin) * cols, out);
          }};
}

/// One group of compressed-tensors' quantization_config: https://github.com/vllm-project/compressed-tensors
Json quantization_config(const QuantScheme& scheme, std::vector<std::string> ignored) {
  const auto side = [](const char* strategy, bool dynamic) {
    return Json{{"num_bits", kExportBits},    {"type", "int"},      {"symmetric", true},
                {"strategy", strategy},       {"dynamic", dynamic}, {"group_size", nullptr},
                {"block_structure", nullptr}, {"actorder", nullptr}};
  };
  const bool tokens = scheme.activations == Granularity::kChannel;
  const Json group = {
      {"targets", {"Linear"}},
      {"weights", side(scheme.weights == Granularity::kChannel ? "channel" : "tensor", false)},
      {"input_activations", side(tokens ? "token" : "tensor", !scheme.static_activations)},
      {"output_activations", nullptr},
      {"format", "int-quantized"}};
  return {{"quant_method", "compressed-tensors"}, {"format", "int-quantized"},
          {"quantization_status", "compressed"},  {"ignore", std::move(ignored)},
          {"kv_cache_scheme", nullptr},           {"config_groups", {{"group_0", group}}}};
}

/// Files beside the weights that say how to use them.
bool belongs_to_model(const std::string& name) {
  if (name == "config.json" || name.ends_with(".index.json")) return false;
  for (const char* suffix : {".json", ".model", ".txt", ".tiktoken", ".jinja"})
    if (name.ends_with(suffix)) return true;
  return false;
}

}  // namespace

void export_compressed_tensors(const Model& model, const QuantMethod& method, const ActivationMaxima* maxima,
                               const fs::path& folder) {
  check_method(method);
  check_model(model);
  if ((method.scheme.static_activations || method.smooth) && maxima == nullptr)
    throw Error(ErrorKind::kUsage, "static activation steps and SmoothQuant need a calibration text");
  NewFolder target(folder);

  SmoothedModel smoothed;
  ActivationMaxima own_maxima;
  const Model* used = &model;
  if (method.smooth) {
    smoothed = smooth(model, *maxima, method.alpha);
    own_maxima = smoothed_maxima(*maxima, smoothed.groups);
    used = smoothed.model.get();
    maxima = &own_maxima;
  }
  std::vector<std::string> ignored;
  const std::map<std::string, Steps> steps = steps_of(*used, method, maxima, ignored);
  for (const ListedModule& module : listed_modules(module_shape(model)))
    if (module.is_head || module.is_router) ignored.push_back(module.name);

  const Checkpoint& checkpoint = used->checkpoint();
  const auto last = std::make_shared<LastTensor>(checkpoint);
  std::vector<StreamedTensor> tensors;
  for (const std::string& name : checkpoint.names()) {
    const Tensor tensor = checkpoint.describe(name).value();
    const auto found = steps.find(name);
    if (found == steps.end()) {
      if (is_float_compute(tensor.dtype)) tensors.push_back(unchanged_tensor(tensor, last));
      continue;  // GPT-NeoX's masks: constants that no loader needs
    }
    tensors.push_back(quantized_tensor(tensor, found->second, last));
    tensors.push_back(scale_tensor(name + "_scale", found->second.weight));
    if (found->second.input > 0)
      tensors.push_back(
          scale_tensor(name.substr(0, name.rfind('.')) + ".input_scale", {found->second.input}));
  }
  for (std::string& file : write_streamed(tensors, folder, kShardBytes)) target.wrote(std::move(file));
  for (const auto& entry : fs::directory_iterator(model.folder()))
    if (const std::string name = entry.path().filename().string();
        entry.is_regular_file() && belongs_to_model(name))
      target.write(name, read_file(entry.path()));
  Json config = Json::parse(read_file(model.folder() / "config.json"));
  config["quantization_config"] = quantization_config(method.scheme, ignored);
  target.write("config.json", config.dump(2) + "\n");
  target.finish();
}

}  // namespace defectoscope
