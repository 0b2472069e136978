#include "linearize/layer_operator.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "base/error.h"
#include "kernels/block_apply.h"
#include "linearize/layer_parts.h"

namespace defectoscope {
namespace {

constexpr Index kFrobeniusBlock = 16;

Matrix copied(ConstMatrixView x) {
  Matrix copy(x.rows(), x.cols());
  for (Index r = 0; r < x.rows(); ++r) std::ranges::copy(x.row(r), copy.row(r).begin());
  return copy;
}

void add(Matrix& x, ConstMatrixView y) {
  for (Index r = 0; r < x.rows(); ++r) {
    const std::span<float> to = x.row(r);
    const std::span<const float> from = y.row(r);
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  }
}

void copy_to(const Matrix& x, MatrixView y) {
  for (Index r = 0; r < x.rows(); ++r) std::ranges::copy(x.row(r), y.row(r).begin());
}

/// Rep: every key-value head repeated for the query heads that share it, [k, kv · dim] to [k, heads · dim].
Matrix repeat_heads(const Matrix& x, Index heads, Index kv_heads, Index dim) {
  Matrix out(x.rows(), heads * dim);
  for (Index r = 0; r < x.rows(); ++r)
    for (Index h = 0; h < heads; ++h) std::copy_n(&x(r, h / (heads / kv_heads) * dim), dim, &out(r, h * dim));
  return out;
}

/// Repᵀ: sums over the query heads that share a key-value head.
Matrix gather_heads(const Matrix& x, Index heads, Index kv_heads, Index dim) {
  Matrix out(x.rows(), kv_heads * dim);
  for (Index r = 0; r < x.rows(); ++r)
    for (Index h = 0; h < heads; ++h)
      for (Index i = 0; i < dim; ++i) out(r, h / (heads / kv_heads) * dim + i) += x(r, h * dim + i);
  return out;
}

void require_finite(const WeightMatrix& weight) {
  const RowMoments sums = row_moments(weight, nullptr, {}, {});
  for (std::size_t r = 0; r < sums.v.size(); ++r)
    if (!std::isfinite(sums.v[r]))
      throw_bad_input({.what = "a weight is not finite",
                       .tensor = weight.name,
                       .expected = "finite numbers",
                       .got = "NaN or infinity in row " + std::to_string(r),
                       .hint = "the checkpoint is damaged: fetch it again"});
}

/// A, F, L or R of a layer's parts.
class LayerForm : public LinearOperator {
 public:
  LayerForm(const LinearizedLayer::Parts& parts, LinearForm form) : parts_(parts), form_(form) {}
  Index rows() const override { return parts_.hidden_size; }
  Index cols() const override { return parts_.hidden_size; }

  void apply(ConstMatrixView x, MatrixView y) const override {
    switch (form_) {
      case LinearForm::kAttention:
        return copy_to(parts_.attention(x), y);
      case LinearForm::kFfn:
        return copy_to(parts_.ffn(x), y);
      case LinearForm::kLayer:
      case LinearForm::kResidual:
        return copy_to(layer(x, form_ == LinearForm::kLayer), y);
    }
  }

  void apply_transpose(ConstMatrixView x, MatrixView y) const override {
    switch (form_) {
      case LinearForm::kAttention:
        return copy_to(parts_.attention_transpose(x), y);
      case LinearForm::kFfn:
        return copy_to(parts_.ffn_transpose(x), y);
      case LinearForm::kLayer:
      case LinearForm::kResidual:
        return copy_to(layer_transpose(x, form_ == LinearForm::kLayer), y);
    }
  }

  /// What the FFN's strongest neurons read: an explosion runs through a few of them.
  Matrix likely_right_vectors(Index count) const override {
    if (form_ == LinearForm::kAttention) return {};
    return parts_.strongest_rows(count);
  }

 private:
  /// R is summed from A and F rather than as L − I, which would lose what is small beside 1.
  Matrix layer(ConstMatrixView x, bool with_identity) const {
    Matrix sum = parts_.attention(x);
    if (parts_.architecture->placement == NormPlacement::kPost) {
      add(sum, x);
      parts_.between.apply(sum);
      add(sum, parts_.ffn(sum));
      parts_.last.apply(sum);
      if (!with_identity) subtract(sum, x);
      return sum;
    }
    if (parts_.architecture->residual == ResidualForm::kSequential) {
      Matrix middle = copied(x);
      add(middle, sum);
      add(sum, parts_.ffn(middle));
    } else {
      add(sum, parts_.ffn(x));
    }
    if (with_identity) add(sum, x);
    return sum;
  }

  Matrix layer_transpose(ConstMatrixView y, bool with_identity) const {
    if (parts_.architecture->placement == NormPlacement::kPost) {
      Matrix sum = copied(y);
      parts_.last.apply_transpose(sum);
      add(sum, parts_.ffn_transpose(sum));
      parts_.between.apply_transpose(sum);
      add(sum, parts_.attention_transpose(sum));
      if (!with_identity) subtract(sum, y);
      return sum;
    }
    Matrix sum = parts_.ffn_transpose(y);
    if (parts_.architecture->residual == ResidualForm::kSequential) {
      Matrix middle = copied(y);
      add(middle, sum);
      add(sum, parts_.attention_transpose(middle));
    } else {
      add(sum, parts_.attention_transpose(y));
    }
    if (with_identity) add(sum, y);
    return sum;
  }

  static void subtract(Matrix& x, ConstMatrixView y) {
    for (Index r = 0; r < x.rows(); ++r)
      for (Index i = 0; i < x.cols(); ++i) x(r, i) -= y(r, i);
  }

  const LinearizedLayer::Parts& parts_;
  LinearForm form_;
};

/// ‖N A‖_F for an operator given by its application; cost d vectors.
template <typename Apply>
double frobenius_norm(Index d, Apply apply) {
  double sum = 0;
  for (Index first = 0; first < d; first += kFrobeniusBlock) {
    const Index count = std::min(kFrobeniusBlock, d - first);
    Matrix unit(count, d);
    for (Index i = 0; i < count; ++i) unit(i, first + i) = 1;
    const Matrix image = apply(unit);
    for (Index r = 0; r < count; ++r)
      for (const float value : image.row(r)) sum += static_cast<double>(value) * static_cast<double>(value);
  }
  return std::sqrt(sum);
}

/// diag(g) P · √d / (rms ‖P A‖_F): what an output norm does on average, free of the scale of O or down.
template <typename Apply>
void normalize_output(NormForm& norm, Index d, double rms, Apply apply) {
  std::vector<float> gain = std::exchange(norm.gain, {});
  const double size = frobenius_norm(d, apply);
  norm.gain = std::move(gain);
  if (size > 0) norm.scale = static_cast<float>(std::sqrt(static_cast<double>(d)) / (rms * size));
}

void drop_biases(LayerWeights& weights) {
  for (LinearWeights* linear : {&weights.attention.value, &weights.attention.output, &weights.ffn.gate,
                                &weights.ffn.up, &weights.ffn.down})
    linear->bias.clear();
}

}  // namespace

Matrix LinearizedLayer::Parts::attention(ConstMatrixView x) const {
  Matrix in = copied(x);
  attention_in.apply(in);
  Matrix values(x.rows(), kv_heads * head_dim);
  block_apply(weights.attention.value.weight, in, values);
  if (heads != kv_heads) values = repeat_heads(values, heads, kv_heads, head_dim);
  Matrix out(x.rows(), hidden_size);
  block_apply(weights.attention.output.weight, values, out);
  attention_out.apply(out);
  return out;
}

Matrix LinearizedLayer::Parts::attention_transpose(ConstMatrixView y) const {
  Matrix in = copied(y);
  attention_out.apply_transpose(in);
  Matrix values(y.rows(), heads * head_dim);
  block_apply_transpose(weights.attention.output.weight, in, values);
  if (heads != kv_heads) values = gather_heads(values, heads, kv_heads, head_dim);
  Matrix out(y.rows(), hidden_size);
  block_apply_transpose(weights.attention.value.weight, values, out);
  attention_in.apply_transpose(out);
  return out;
}

Matrix LinearizedLayer::Parts::ffn(ConstMatrixView x) const {
  Matrix in = copied(x);
  ffn_in.apply(in);
  Matrix hidden(x.rows(), ffn_size());
  if (sampled_f1.defined()) {
    block_apply(sampled_f1, in, hidden);
  } else {
    block_apply(gated() ? weights.ffn.gate.weight : weights.ffn.up.weight, in, hidden);
    for (Index r = 0; r < hidden.rows(); ++r)
      for (std::size_t j = 0; j < alpha.size(); ++j) hidden.row(r)[j] *= alpha[j];
    if (gated()) {
      Matrix up(x.rows(), ffn_size());
      block_apply(weights.ffn.up.weight, in, up);
      for (Index r = 0; r < hidden.rows(); ++r)
        for (std::size_t j = 0; j < beta.size(); ++j) hidden.row(r)[j] += beta[j] * up.row(r)[j];
    }
  }
  Matrix out(x.rows(), hidden_size);
  block_apply(weights.ffn.down.weight, hidden, out);
  ffn_out.apply(out);
  return out;
}

Matrix LinearizedLayer::Parts::ffn_transpose(ConstMatrixView y) const {
  Matrix in = copied(y);
  ffn_out.apply_transpose(in);
  Matrix hidden(y.rows(), ffn_size());
  block_apply_transpose(weights.ffn.down.weight, in, hidden);
  Matrix out(y.rows(), hidden_size);
  if (sampled_f1.defined()) {
    block_apply_transpose(sampled_f1, hidden, out);
  } else {
    Matrix scaled = hidden;
    for (Index r = 0; r < hidden.rows(); ++r)
      for (std::size_t j = 0; j < alpha.size(); ++j) scaled.row(r)[j] *= alpha[j];
    block_apply_transpose(gated() ? weights.ffn.gate.weight : weights.ffn.up.weight, scaled, out);
    if (gated()) {
      for (Index r = 0; r < hidden.rows(); ++r)
        for (std::size_t j = 0; j < beta.size(); ++j) scaled.row(r)[j] = beta[j] * hidden.row(r)[j];
      Matrix second(y.rows(), hidden_size);
      block_apply_transpose(weights.ffn.up.weight, scaled, second);
      add(out, second);
    }
  }
  ffn_in.apply_transpose(out);
  return out;
}

Matrix LinearizedLayer::Parts::strongest_rows(Index count) const {
  count = std::min(count, ffn_size());
  std::vector<Index> order(static_cast<std::size_t>(ffn_size()));
  std::iota(order.begin(), order.end(), Index{0});
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](Index a, Index b) {
    const double x = fit.strength[static_cast<std::size_t>(a)], y = fit.strength[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  });
  Matrix rows(count, hidden_size);
  std::vector<float> up(static_cast<std::size_t>(hidden_size));
  for (Index i = 0; i < count; ++i) {
    const Index j = order[static_cast<std::size_t>(i)];
    const auto at = static_cast<std::size_t>(j);
    const std::span<float> row = rows.row(i);
    (gated() ? weights.ffn.gate : weights.ffn.up).weight.copy_row(j, row);
    for (float& value : row) value *= alpha[at];
    if (!gated()) continue;
    weights.ffn.up.weight.copy_row(j, up);
    for (std::size_t k = 0; k < row.size(); ++k) row[k] += beta[at] * up[k];
  }
  ffn_in.apply_transpose(rows);
  return rows;
}

LinearizedLayer::LinearizedLayer(LayerWeights weights, const ModelConfig& config,
                                 const LinearizeOptions& options)
    : parts_(std::make_unique<Parts>()) {
  Parts& parts = *parts_;
  parts.weights = std::move(weights);
  if (options.paper_parity) drop_biases(parts.weights);
  parts.architecture = config.architecture;
  parts.hidden_size = config.hidden_size;
  parts.heads = config.heads;
  parts.kv_heads = config.kv_heads;
  parts.head_dim = config.head_dim;
  assert(parts.weights.attention.value.weight.rows == config.kv_size());
  assert(parts.weights.attention.output.weight.cols == config.query_size());
  require_finite(parts.weights.attention.value.weight);
  require_finite(parts.weights.attention.output.weight);

  const NormRoles norms = norms_by_role(parts.weights, *config.architecture);
  const auto form_of = [&](const NormWeights* norm) {
    return norm_form(*norm, config, options.paper_parity);
  };
  parts.attention_in = form_of(norms.attention_in);
  parts.attention_out = form_of(norms.attention_out);
  parts.ffn_in = form_of(norms.ffn_in);
  parts.ffn_out = form_of(norms.ffn_out);
  parts.between = form_of(norms.between);
  parts.last = form_of(norms.last);

  const FfnInput input = options.paper_parity
                             ? FfnInput{}
                             : ffn_input(parts.weights, config, options.covariance, options.residual_rms);
  parts.fit = fit_ffn(parts.weights, config, input);
  parts.alpha.assign(parts.fit.alpha.begin(), parts.fit.alpha.end());
  parts.beta.assign(parts.fit.beta.begin(), parts.fit.beta.end());
  if (options.samples > 0) {
    const SampledFit sampled =
        sample_ffn(parts.weights, config, input, options.samples, options.seed, !options.paper_parity);
    Matrix narrow(sampled.f1.rows(), sampled.f1.cols());
    std::transform(sampled.f1.data(), sampled.f1.data() + sampled.f1.rows() * sampled.f1.cols(),
                   narrow.data(), [](double value) { return static_cast<float>(value); });
    parts.sampled_f1 = make_weight_matrix(narrow, "F1");
  }
  if (config.architecture->placement == NormPlacement::kOutput && !options.paper_parity) {
    normalize_output(parts.attention_out, parts.hidden_size, options.residual_rms,
                     [&](const Matrix& x) { return parts.attention(x); });
    normalize_output(parts.ffn_out, parts.hidden_size, options.residual_rms,
                     [&](const Matrix& x) { return parts.ffn(x); });
  }
  for (const LinearForm form :
       {LinearForm::kAttention, LinearForm::kFfn, LinearForm::kLayer, LinearForm::kResidual})
    parts.forms.push_back(std::make_unique<LayerForm>(parts, form));
}

LinearizedLayer::~LinearizedLayer() = default;

const FfnFit& LinearizedLayer::fit() const { return parts_->fit; }
const LayerWeights& LinearizedLayer::weights() const { return parts_->weights; }
const LinearOperator& LinearizedLayer::form(LinearForm form) const {
  return *parts_->forms[static_cast<std::size_t>(form)];
}

}  // namespace defectoscope
