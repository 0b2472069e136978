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
        // A tensor of all experts has their matrices one after the other.
        const Index cols = shape.back(), inputs = std::ssize(factors);
        parallel_ranges(std::ssize(values) / cols, 64, [&](Index begin, Index end) {
          for (Index r = begin; r < end; ++r)
            for (Index c = 0; c < cols; ++c)
              values[static_cast<std::size_t>(r * cols + c)] *=
                  factors[static_cast<std::size_t>(change.kind == Change::Kind::kRows ? r % inputs : c)];
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
std::vector<float> column_maxima(const LayerWeights& layer, const std::vector<ModuleId>& modules,
                                 Index inputs) {
  std::vector<float> maxima(static_cast<std::size_t>(inputs));
  Matrix rows(64, inputs);
  for (const ModuleId id : modules) {
    const WeightMatrix& weight = weights_of(layer, id).weight;
    for (Index first = 0; first < weight.rows; first += rows.rows()) {
      const Index count = std::min(rows.rows(), weight.rows - first);
      widen_rows(weight, first, count, rows.data(), inputs);
      raise_column_maxima(rows.view().block_rows(0, count), maxima);
    }
  }
  return maxima;
}

/// The pattern of the norm that gives this input; empty where no norm does.
std::string_view norm_before(const ArchitectureSpec& row, Module input) {
  switch (input) {
    case Module::kQuery:
      return row.names.attention_norm;
    case Module::kUp:
      return row.residual == ResidualForm::kParallelShared ? row.names.attention_norm : row.names.ffn_norm;
    case Module::kQueryExpand:
      return row.names.query_latent_norm;
    case Module::kKeyExpand:
      return row.names.kv_latent_norm;
    default:
      return {};
  }
}

/// The groups of a layer, without factors, by the pattern of their norm.
std::vector<std::pair<std::string_view, SmoothedGroup>> groups_of(const Model& model, Index layer_index) {
  std::vector<std::pair<std::string_view, SmoothedGroup>> groups;
  for (const ModuleId id : quantizable_modules(model, layer_index)) {
    const std::string_view norm =
        norm_before(*model.config().architecture, ActivationMaxima::input_of(id).module);
    if (norm.empty()) continue;
    auto place = std::ranges::find(groups, norm, &std::pair<std::string_view, SmoothedGroup>::first);
    if (place == groups.end()) place = groups.insert(place, {norm, SmoothedGroup{}});
    place->second.modules.push_back(id);
  }
  return groups;
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
    for (auto& [pattern, group] : groups_of(model, layer_index)) {
      const std::vector<float>& inputs = maxima.of(group.modules.front());
      group.factors = smoothing_factors(
          inputs, column_maxima(layer, group.modules, static_cast<Index>(inputs.size())), alpha);
      const auto factors = std::make_shared<const std::vector<float>>(group.factors);
      const std::string norm = tensor_name(prefix, pattern, layer_index);
      changes[norm] = {Change::Kind::kGain, factors};
      changes[bias_name(norm)] = {Change::Kind::kShift, factors};
      for (const ModuleId id : group.modules) {
        changes[weight_tensor(model, id)] = {
            stores_inputs_first(model, id) ? Change::Kind::kRows : Change::Kind::kColumns, factors};
        if (id.expert != ModuleId::kNoExpert)
          for (const std::string& router : router_tensors(model, layer_index))
            changes[router] = {Change::Kind::kColumns, factors};
      }
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

ActivationMaxima smoothed_maxima(const ActivationMaxima& maxima, const std::vector<SmoothedGroup>& groups) {
  ActivationMaxima result = maxima;
  for (const SmoothedGroup& group : groups) {
    ModuleSet inputs;
    for (const ModuleId id : group.modules) inputs.insert(ActivationMaxima::input_of(id));
    for (const ModuleId input : inputs) {
      std::vector<float>& channels = result.entry(input);
      for (std::size_t j = 0; j < channels.size(); ++j) channels[j] /= group.factors[j];
    }
  }
  return result;
}

}  // namespace defectoscope
