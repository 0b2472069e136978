#include "linearize/real_ffn.h"

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/block_apply.h"
#include "linearize/activation.h"

namespace defectoscope {

/// What a norm did to one row: out = g ∘ hat + shift, hat = (x − mean) · scale. Not in the anonymous
/// namespace, since RealFfn::Forward, which others may name, has members of it.
struct NormedRow {
  std::vector<double> hat;
  double scale = 1;
};

namespace {

NormedRow normalize(const NormWeights& norm, const ModelConfig& config, std::span<const float> x,
                    std::span<float> out) {
  NormedRow row;
  row.hat.assign(x.begin(), x.end());
  if (norm.defined()) {
    const auto d = static_cast<double>(x.size());
    double mean = 0, square = 0;
    if (config.architecture->norm == NormKind::kLayerNorm) {
      for (const double value : row.hat) mean += value;
      mean /= d;
    }
    for (double& value : row.hat) {
      value -= mean;
      square += value * value;
    }
    row.scale = 1 / std::sqrt(square / d + config.norm_eps);
    for (double& value : row.hat) value *= row.scale;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    double value = row.hat[i];
    if (norm.defined()) value *= static_cast<double>(norm.gain[i]);
    if (!norm.shift.empty()) value += static_cast<double>(norm.shift[i]);
    out[i] = static_cast<float>(value);
  }
  return row;
}

/// Gradient with respect to the norm's input from that with respect to its output, in place.
void normalize_back(const NormWeights& norm, const ModelConfig& config, const NormedRow& row,
                    std::span<float> gradient) {
  if (!norm.defined()) return;
  const auto d = static_cast<double>(gradient.size());
  std::vector<double> inner(gradient.size());
  double along = 0, mean = 0;
  for (std::size_t i = 0; i < inner.size(); ++i) {
    inner[i] = static_cast<double>(gradient[i]) * static_cast<double>(norm.gain[i]);
    along += inner[i] * row.hat[i];
    mean += inner[i];
  }
  along /= d;
  mean = config.architecture->norm == NormKind::kLayerNorm ? mean / d : 0;
  for (std::size_t i = 0; i < inner.size(); ++i)
    gradient[i] = static_cast<float>(row.scale * (inner[i] - mean - row.hat[i] * along));
}

void add_bias(const std::vector<float>& bias, Matrix& x) {
  if (bias.empty()) return;
  for (Index r = 0; r < x.rows(); ++r)
    for (std::size_t j = 0; j < bias.size(); ++j) x.row(r)[j] += bias[j];
}

/// body(row) for each row, in parallel where a row is long enough to be worth it.
template <typename Body>
void for_rows(Index rows, Index width, Body body) {
  constexpr Index kWorthIt = 2048;
  if (width >= kWorthIt) return parallel_for(rows, body);
  for (Index r = 0; r < rows; ++r) body(r);
}

const NormWeights& input_norm(const NormRoles& norms, const ModelConfig& config) {
  return config.architecture->placement == NormPlacement::kPost ? *norms.between : *norms.ffn_in;
}

}  // namespace

double ffn_radius(const LayerWeights& layer, const ModelConfig& config) {
  const NormRoles norms = norms_by_role(layer, *config.architecture);
  return input_norm(norms, config).defined() ? 1 : std::sqrt(static_cast<double>(config.hidden_size));
}

/// Everything the way back needs, a row a vector.
struct RealFfn::Forward {
  std::vector<NormedRow> in, out;
  Matrix gate, up;  ///< [k, ffn] before the activation
  Matrix result;    ///< [k, d]
};

RealFfn::RealFfn(const LayerWeights& layer, const ModelConfig& config)
    : layer_(layer),
      config_(config),
      norms_(norms_by_role(layer, *config.architecture)),
      in_(input_norm(norms_, config)) {
  if (!layer.experts.defined()) return;
  throw_bad_input(
      {.what = "a layer with experts has not one FFN: what its output's norm depends on is not computed",
       .tensor = layer.experts.router.weight.name,
       .expected = "a layer with a dense FFN",
       .got = std::to_string(layer.experts.experts.size()) + " experts"});
}

Index RealFfn::hidden_size() const { return config_.hidden_size; }

RealFfn::Forward RealFfn::forward(ConstMatrixView x) const {
  const FfnWeights& ffn = layer_.ffn;
  const bool gated = ffn.gate.weight.defined();
  const Index k = x.rows(), width = ffn.up.weight.rows;
  Forward pass;
  pass.in.resize(static_cast<std::size_t>(k));
  pass.out.resize(static_cast<std::size_t>(k));
  Matrix y(k, config_.hidden_size);
  for_rows(k, width, [&](Index r) {
    pass.in[static_cast<std::size_t>(r)] = normalize(in_, config_, x.row(r), y.row(r));
  });
  pass.up = Matrix(k, width);
  block_apply(ffn.up.weight, y, pass.up);
  add_bias(ffn.up.bias, pass.up);
  if (gated) {
    pass.gate = Matrix(k, width);
    block_apply(ffn.gate.weight, y, pass.gate);
    add_bias(ffn.gate.bias, pass.gate);
  }
  Matrix hidden(k, width);
  for_rows(k, width, [&](Index r) {
    for (Index j = 0; j < width; ++j) {
      const double a = gated ? pass.gate(r, j) : pass.up(r, j);
      const double value = activation_jet(config_.activation, a).d0;
      hidden(r, j) = static_cast<float>(gated ? value * static_cast<double>(pass.up(r, j)) : value);
    }
  });
  pass.result = Matrix(k, config_.hidden_size);
  block_apply(ffn.down.weight, hidden, pass.result);
  add_bias(ffn.down.bias, pass.result);
  for_rows(k, width, [&](Index r) {
    const std::span<float> row = pass.result.row(r);
    pass.out[static_cast<std::size_t>(r)] = normalize(*norms_.ffn_out, config_, row, row);
  });
  return pass;
}

void RealFfn::apply(ConstMatrixView x, MatrixView y) const {
  const Forward pass = forward(x);
  for (Index r = 0; r < x.rows(); ++r) std::ranges::copy(pass.result.row(r), y.row(r).begin());
}

std::vector<double> RealFfn::norm_gradient(ConstMatrixView x, MatrixView gradient) const {
  const FfnWeights& ffn = layer_.ffn;
  const bool gated = ffn.gate.weight.defined();
  const Index k = x.rows(), width = ffn.up.weight.rows;
  const Forward pass = forward(x);
  std::vector<double> sizes(static_cast<std::size_t>(k));
  Matrix back(k, config_.hidden_size);
  for_rows(k, width, [&](Index r) {
    const std::span<const float> row = pass.result.row(r);
    double square = 0;
    for (const float value : row) square += static_cast<double>(value) * static_cast<double>(value);
    const double size = std::sqrt(square);
    sizes[static_cast<std::size_t>(r)] = size;
    for (std::size_t i = 0; i < row.size() && size > 0; ++i)
      back.row(r)[i] = static_cast<float>(static_cast<double>(row[i]) / size);
    normalize_back(*norms_.ffn_out, config_, pass.out[static_cast<std::size_t>(r)], back.row(r));
  });
  Matrix hidden(k, width), into_gate(gated ? k : 0, width);
  block_apply_transpose(ffn.down.weight, back, hidden);
  for_rows(k, width, [&](Index r) {
    for (Index j = 0; j < width; ++j) {
      const double from_above = hidden(r, j);
      if (!gated) {
        hidden(r, j) = static_cast<float>(from_above * activation_jet(config_.activation, pass.up(r, j)).d1);
        continue;
      }
      const ActivationJet jet = activation_jet(config_.activation, pass.gate(r, j));
      into_gate(r, j) = static_cast<float>(from_above * jet.d1 * static_cast<double>(pass.up(r, j)));
      hidden(r, j) = static_cast<float>(from_above * jet.d0);
    }
  });
  block_apply_transpose(ffn.up.weight, hidden, gradient);
  if (gated) {
    Matrix through_gate(k, config_.hidden_size);
    block_apply_transpose(ffn.gate.weight, into_gate, through_gate);
    for (Index r = 0; r < k; ++r)
      for (Index i = 0; i < gradient.cols(); ++i) gradient(r, i) += through_gate(r, i);
  }
  for_rows(k, width, [&](Index r) {
    normalize_back(in_, config_, pass.in[static_cast<std::size_t>(r)], gradient.row(r));
  });
  return sizes;
}

}  // namespace defectoscope
