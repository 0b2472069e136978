#include "quantize/smoothing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/parallel.h"
#include "checkpoint/checkpoint.h"
#include "kernels/convert.h"
#include "kernels/quantize.h"
#include "model/tensor_plan.h"

namespace defectoscope {
namespace {

constexpr float kSmallest = 1e-5f;

/// What smoothing does to one stored tensor.
struct Change {
  enum class Kind { kGain, kShift, kColumns, kRows } kind = Kind::kGain;
  std::shared_ptr<const std::vector<float>> factors;
};

/// Another checkpoint with some of its tensors changed, which are f32 then.
class SmoothedCheckpoint final : public Checkpoint {
 public:
  SmoothedCheckpoint(const Checkpoint& original, std::map<std::string, Change, std::less<>> changes,
                     float gain_offset)
      : original_(original), changes_(std::move(changes)), gain_offset_(gain_offset) {}

  const std::vector<std::string>& names() const override { return original_.names(); }
  std::filesystem::path file_of(std::string_view name) const override { return original_.file_of(name); }
  std::vector<std::filesystem::path> files() const override { return original_.files(); }

  std::optional<Tensor> describe(std::string_view name) const override {
    std::optional<Tensor> tensor = original_.describe(name);
    if (tensor && changes_.contains(name)) tensor->dtype = DType::kF32;
    return tensor;
  }

  std::optional<Tensor> find(std::string_view name) const override {
    std::optional<Tensor> tensor = original_.find(name);
    const auto change = changes_.find(name);
    if (!tensor || change == changes_.end()) return tensor;
    const auto values = std::make_shared<std::vector<float>>(to_f32(*tensor));
    apply(change->second, tensor->shape, *values);
    tensor->dtype = DType::kF32;
    tensor->data = reinterpret_cast<const std::byte*>(values->data());
    tensor->owner = values;
    return tensor;
  }

 private:
  void apply(const Change& change, const std::vector<Index>& shape, std::vector<float>& values) const {
    const std::vector<float>& factors = *change.factors;
    switch (change.kind) {
      case Change::Kind::kGain:
        for (std::size_t i = 0; i < values.size(); ++i)
          values[i] = (gain_offset_ + values[i]) / factors[i] - gain_offset_;
        break;
      case Change::Kind::kShift:
        for (std::size_t i = 0; i < values.size(); ++i) values[i] /= factors[i];
        break;
      case Change::Kind::kColumns:
      case Change::Kind::kRows: {
        const Index cols = shape[1];
        parallel_ranges(shape[0], 64, [&](Index begin, Index end) {
          for (Index r = begin; r < end; ++r)
            for (Index c = 0; c < cols; ++c)
              values[static_cast<std::size_t>(r * cols + c)] *=
                  factors[static_cast<std::size_t>(change.kind == Change::Kind::kRows ? r : c)];
        });
        break;
      }
    }
  }

  const Checkpoint& original_;
  std::map<std::string, Change, std::less<>> changes_;
  float gain_offset_;
};

/// max|W_j| over the rows of all of a group's matrices.
std::vector<float> column_maxima(const LayerWeights& layer, const std::vector<Module>& modules,
                                 Index inputs) {
  std::vector<float> maxima(static_cast<std::size_t>(inputs));
  Matrix rows(64, inputs);
  for (const Module module : modules) {
    const WeightMatrix& weight = weights_of(layer, module).weight;
    for (Index first = 0; first < weight.rows; first += rows.rows()) {
      const Index count = std::min(rows.rows(), weight.rows - first);
      widen_rows(weight, first, count, rows.data(), inputs);
      raise_column_maxima(rows.view().block_rows(0, count), maxima);
    }
  }
  return maxima;
}

/// The groups of a layer, without factors, each with the pattern of its norm.
struct GroupShape {
  std::vector<Module> modules;
  std::string_view norm;
};
std::vector<GroupShape> group_shapes(const ArchitectureSpec& row) {
  const std::vector<Module> attention = {Module::kQuery, Module::kKey, Module::kValue};
  const std::vector<Module> ffn =
      row.ffn == FfnForm::kPlain ? std::vector{Module::kUp} : std::vector{Module::kGate, Module::kUp};
  if (row.residual == ResidualForm::kParallelShared) {
    std::vector<Module> all = attention;
    all.insert(all.end(), ffn.begin(), ffn.end());
    return {{all, row.names.attention_norm}};
  }
  return {{attention, row.names.attention_norm}, {ffn, row.names.ffn_norm}};
}

}  // namespace

std::vector<float> smoothing_factors(std::span<const float> input_maxima,
                                     std::span<const float> weight_maxima, double alpha) {
  if (!(alpha >= 0 && alpha <= 1))
    throw Error(ErrorKind::kUsage, fmt::format("SmoothQuant's alpha lies between 0 and 1, got {}", alpha));
  assert(input_maxima.size() == weight_maxima.size());
  const auto strength = static_cast<float>(alpha);
  std::vector<float> factors;
  for (std::size_t j = 0; j < input_maxima.size(); ++j) {
    const float input = std::max(input_maxima[j], kSmallest);
    const float weight = std::max(weight_maxima[j], kSmallest);
    factors.push_back(std::max(std::pow(input, strength) / std::pow(weight, 1 - strength), kSmallest));
  }
  return factors;
}

SmoothedModel smooth(const Model& model, const ActivationMaxima& maxima, double alpha) {
  const ArchitectureSpec& row = *model.config().architecture;
  const std::string_view prefix = find_prefix(row, model.checkpoint());
  SmoothedModel result;
  std::map<std::string, Change, std::less<>> changes;
  const bool has_norms = row.placement == NormPlacement::kPre || row.placement == NormPlacement::kSandwich;
  if (!has_norms)
    result.notes.push_back(fmt::format(
        "{} models have no norm before their matmuls: SmoothQuant has nothing to fold its factors into",
        row.name));
  for (Index layer_index = 0; has_norms && layer_index < model.config().layers; ++layer_index) {
    const LayerWeights layer = model.layer(layer_index);
    for (const GroupShape& shape : group_shapes(row)) {
      const std::vector<float>& inputs = maxima.of({layer_index, shape.modules.front()});
      SmoothedGroup group{layer_index, shape.modules, {}};
      group.factors = smoothing_factors(
          inputs, column_maxima(layer, shape.modules, static_cast<Index>(inputs.size())), alpha);
      const auto factors = std::make_shared<const std::vector<float>>(group.factors);
      const std::string norm = tensor_name(prefix, shape.norm, layer_index);
      changes[norm] = {Change::Kind::kGain, factors};
      changes[bias_name(norm)] = {Change::Kind::kShift, factors};
      for (const Module module : shape.modules)
        changes[module_path(model, {layer_index, module}) + ".weight"] = {
            row.transposed_weights ? Change::Kind::kRows : Change::Kind::kColumns, factors};
      result.groups.push_back(std::move(group));
    }
  }
  result.model = std::make_unique<const Model>(
      model.config(),
      std::make_shared<const SmoothedCheckpoint>(model.checkpoint(), std::move(changes),
                                                 static_cast<float>(row.norm_gain_offset)),
      model.folder());
  return result;
}

ActivationMaxima smoothed_maxima(const Model& model, const ActivationMaxima& maxima,
                                 const std::vector<SmoothedGroup>& groups) {
  ActivationMaxima result;
  for (const ModuleId id : quantizable_modules(model))
    if (ActivationMaxima::input_of(id) == id) result.entry(id) = maxima.of(id);
  for (const SmoothedGroup& group : groups)
    for (const Module module : group.modules) {
      const ModuleId id{group.layer_index, module};
      if (ActivationMaxima::input_of(id) != id) continue;
      std::vector<float>& channels = result.entry(id);
      for (std::size_t j = 0; j < channels.size(); ++j) channels[j] /= group.factors[j];
    }
  return result;
}

}  // namespace defectoscope
