#include "forward/expert_layer.h"

#include <cmath>

#include "base/parallel.h"
#include "model/router.h"

namespace defectoscope {
namespace {

constexpr Index kRowTile = 16;

struct Chosen {
  std::vector<Index> rows;
  std::vector<double> weights;
};

}  // namespace

ExpertLayer::ExpertLayer(const ModelConfig& config, const ExpertWeights& weights,
                         const std::function<MakeLinear(Index expert)>& make_of)
    : config_(config), selection_bias_(weights.selection_bias) {
  const MakeLinear make = make_of(ModuleId::kNoExpert);
  router_ = make(Module::kRouter, weights.router);
  shared_switch_ = make(Module::kRouter, weights.shared_switch);
  for (std::size_t e = 0; e < weights.experts.size(); ++e)
    experts_.emplace_back(weights.experts[e], make_of(static_cast<Index>(e)));
  if (weights.shared.up.weight.defined())
    shared_.emplace_back(weights.shared, make_of(ModuleId::kSharedExpert));
}

void ExpertLayer::apply(ConstMatrixView x, MatrixView y) const {
  const Index rows = x.rows();
  Matrix logits(rows, config_.experts.experts);
  router_->apply(x, logits);
  std::vector<std::vector<RoutedExpert>> routed(static_cast<std::size_t>(rows));
  parallel_ranges(rows, kRowTile, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row)
      routed[static_cast<std::size_t>(row)] = route(config_, logits.row(row), selection_bias_);
  });
  std::vector<Chosen> chosen(experts_.size());
  for (Index row = 0; row < rows; ++row) {
    for (const RoutedExpert& one : routed[static_cast<std::size_t>(row)]) {
      Chosen& of_expert = chosen[static_cast<std::size_t>(one.expert)];
      of_expert.rows.push_back(row);
      of_expert.weights.push_back(one.weight);
    }
  }
  Matrix sum(rows, x.cols());
  for (std::size_t e = 0; e < chosen.size(); ++e)
    add_expert(experts_[e], x, chosen[e].rows, chosen[e].weights, config_.experts.ffn_size, sum);
  if (!shared_.empty()) {
    Chosen all;
    Matrix switches(shared_switch_ ? rows : 0, 1);
    if (shared_switch_) shared_switch_->apply(x, switches);
    for (Index row = 0; row < rows; ++row) {
      all.rows.push_back(row);
      all.weights.push_back(shared_switch_ ? 1 / (1 + std::exp(-static_cast<double>(switches(row, 0)))) : 1);
    }
    add_expert(shared_[0], x, all.rows, all.weights, config_.experts.shared_ffn_size, sum);
  }
  for (Index row = 0; row < rows; ++row) std::ranges::copy(sum.row(row), y.row(row).begin());
}

void ExpertLayer::add_expert(const FeedForward& expert, ConstMatrixView x, std::span<const Index> rows,
                             std::span<const double> weights, Index ffn_size, Matrix& sum) const {
  if (rows.empty()) return;
  const auto count = static_cast<Index>(rows.size());
  Matrix states(count, x.cols()), up(count, ffn_size), gate(expert.gated() ? count : 0, ffn_size);
  for (Index i = 0; i < count; ++i)
    std::ranges::copy(x.row(rows[static_cast<std::size_t>(i)]), states.row(i).begin());
  expert.apply(config_, states, rows, up, gate, states);
  parallel_ranges(count, kRowTile, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const auto weight = static_cast<float>(weights[static_cast<std::size_t>(i)]);
      const std::span<float> to = sum.row(rows[static_cast<std::size_t>(i)]);
      const std::span<const float> from = states.row(i);
      for (std::size_t c = 0; c < to.size(); ++c) to[c] += weight * from[c];
    }
  });
}

}  // namespace defectoscope
