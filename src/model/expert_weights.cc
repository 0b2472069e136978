#include <cmath>

#include "checkpoint/checkpoint.h"
#include "model/fused_split.h"
#include "model/model.h"
#include "model/tensor_plan.h"

namespace defectoscope {
namespace {

/// One expert's matrix of a packed [experts, rows, cols] tensor, in place.
WeightMatrix expert_of(const Tensor& packed, Index expert) {
  const Index rows = packed.shape[1], cols = packed.shape[2];
  return {packed.name, packed.dtype, rows,
          cols,        cols,         packed.data + expert * rows * cols * dtype_size(packed.dtype),
          packed.owner};
}

std::vector<float> expert_of(const std::vector<float>& packed, Index expert, Index experts) {
  const auto size = static_cast<std::ptrdiff_t>(packed.size()) / experts;
  return {packed.begin() + expert * size, packed.begin() + (expert + 1) * size};
}

}  // namespace

ExpertWeights Model::experts(Index layer_index) const {
  const ExpertNames& names = config_.architecture->experts.spellings[spelling_];
  const Index count = config_.experts.experts;
  ExpertWeights weights;
  weights.router = linear(names.router, layer_index);
  if (!names.selection_bias.empty())
    weights.selection_bias = vector(tensor_name(prefix_, names.selection_bias, layer_index));
  weights.experts.resize(static_cast<std::size_t>(count));

  const auto own = [&](std::string_view pattern, Index expert) -> LinearWeights {
    const std::string name = expert_tensor_name(prefix_, pattern, layer_index, expert);
    return {as_weight_matrix(find(name)), names.biases ? vector(bias_name(name)) : std::vector<float>()};
  };
  const auto packed = [&](std::string_view pattern) -> Tensor {
    return find(tensor_name(prefix_, pattern, layer_index));
  };
  const auto packed_bias = [&](std::string_view pattern) -> std::vector<float> {
    return pattern.empty() ? std::vector<float>() : vector(tensor_name(prefix_, pattern, layer_index));
  };
  if (names.packed_down.empty()) {
    for (Index e = 0; e < count; ++e)
      weights.experts[static_cast<std::size_t>(e)] = {own(names.gate, e), own(names.up, e),
                                                      own(names.down, e)};
  } else {
    const Tensor gate_up = packed(names.packed_gate_up), down = packed(names.packed_down);
    const std::vector<float> gate_up_bias = packed_bias(names.packed_gate_up_bias);
    const std::vector<float> down_bias = packed_bias(names.packed_down_bias);
    for (Index e = 0; e < count; ++e) {
      FfnWeights& expert = weights.experts[static_cast<std::size_t>(e)];
      LinearWeights fused{expert_of(gate_up, e), expert_of(gate_up_bias, e, count)};
      expert.down = {expert_of(down, e), expert_of(down_bias, e, count)};
      if (names.packed_transposed) {
        fused.weight = transposed(fused.weight);
        expert.down.weight = transposed(expert.down.weight);
        split_alternating(fused, expert);
      } else {
        expert.up = std::move(fused);
        split_gate_up(expert.up, expert);
      }
    }
  }
  if (config_.experts.shared_ffn_size == 0) return weights;
  weights.shared = {linear(names.shared_gate, layer_index), linear(names.shared_up, layer_index),
                    linear(names.shared_down, layer_index)};
  weights.shared_switch = linear(names.shared_switch, layer_index);
  return weights;
}

}  // namespace defectoscope
