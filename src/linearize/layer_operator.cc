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
#include "linearize/mixture.h"

namespace defectoscope {
namespace {

constexpr Index kFrobeniusBlock = 16;

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
      Matrix middle(x);
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
      Matrix sum(y);
      parts_.last.apply_transpose(sum);
      add(sum, parts_.ffn_transpose(sum));
      parts_.between.apply_transpose(sum);
      add(sum, parts_.attention_transpose(sum));
      if (!with_identity) subtract(sum, y);
      return sum;
    }
    Matrix sum = parts_.ffn_transpose(y);
    if (parts_.architecture->residual == ResidualForm::kSequential) {
      Matrix middle(y);
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

void drop_biases(FfnWeights& ffn) {
  for (LinearWeights* linear : {&ffn.gate, &ffn.up, &ffn.down}) linear->bias.clear();
}

void drop_biases(LayerWeights& weights) {
  for (LinearWeights* linear : {&weights.attention.value, &weights.attention.output}) linear->bias.clear();
  drop_biases(weights.ffn);
  for (FfnWeights& expert : weights.experts.experts) drop_biases(expert);
  drop_biases(weights.experts.shared);
}

/// x[r, j] *= w[j / run].
void scale_runs(Matrix& x, const std::vector<float>& w, Index run) {
  for (Index r = 0; r < x.rows(); ++r)
    for (Index j = 0; j < x.cols(); ++j) x(r, j) *= w[static_cast<std::size_t>(j / run)];
}

}  // namespace

Matrix LinearizedLayer::Parts::attention(ConstMatrixView x) const {
  Matrix in(x);
  attention_in.apply(in);
  if (weights.attention.latent.defined()) {
    const WeightMatrix& down = weights.attention.latent.kv.weight;
    Matrix through(x.rows(), down.rows);
    block_apply(down, in, through);
    latent.apply(through);
    in = std::move(through);
  }
  Matrix values(x.rows(), kv_heads * value_dim);
  block_apply(weights.attention.value.weight, in, values);
  if (heads != kv_heads) values = repeat_heads(values, heads, kv_heads, value_dim);
  if (!head_shares.empty()) scale_runs(values, head_shares, value_dim);
  Matrix out(x.rows(), hidden_size);
  block_apply(weights.attention.output.weight, values, out);
  attention_out.apply(out);
  return out;
}

Matrix LinearizedLayer::Parts::attention_transpose(ConstMatrixView y) const {
  Matrix in(y);
  attention_out.apply_transpose(in);
  Matrix values(y.rows(), heads * value_dim);
  block_apply_transpose(weights.attention.output.weight, in, values);
  if (!head_shares.empty()) scale_runs(values, head_shares, value_dim);
  if (heads != kv_heads) values = gather_heads(values, heads, kv_heads, value_dim);
  Matrix out(y.rows(), weights.attention.value.weight.cols);
  block_apply_transpose(weights.attention.value.weight, values, out);
  if (weights.attention.latent.defined()) {
    latent.apply_transpose(out);
    Matrix through(y.rows(), hidden_size);
    block_apply_transpose(weights.attention.latent.kv.weight, out, through);
    out = std::move(through);
  }
  attention_in.apply_transpose(out);
  return out;
}

Matrix LinearizedLayer::Parts::ffn(ConstMatrixView x) const {
  Matrix in(x);
  ffn_in.apply(in);
  Matrix sum;
  for (const FfnPart& part : ffns) {
    Matrix hidden(x.rows(), part.ffn_size());
    if (part.sampled_f1.defined()) {
      block_apply(part.sampled_f1, in, hidden);
    } else {
      block_apply(part.first(), in, hidden);
      scale_runs(hidden, part.alpha, 1);
      if (part.gated()) {
        Matrix up(x.rows(), part.ffn_size());
        block_apply(part.weights.up.weight, in, up);
        scale_runs(up, part.beta, 1);
        add(hidden, up);
      }
    }
    Matrix out(x.rows(), hidden_size);
    block_apply(part.weights.down.weight, hidden, out);
    if (sum.rows() == 0)
      sum = std::move(out);
    else
      add(sum, out);
  }
  ffn_out.apply(sum);
  return sum;
}

Matrix LinearizedLayer::Parts::ffn_transpose(ConstMatrixView y) const {
  Matrix in(y);
  ffn_out.apply_transpose(in);
  Matrix sum(y.rows(), hidden_size), image(y.rows(), hidden_size);
  for (const FfnPart& part : ffns) {
    Matrix hidden(y.rows(), part.ffn_size());
    block_apply_transpose(part.weights.down.weight, in, hidden);
    if (part.sampled_f1.defined()) {
      block_apply_transpose(part.sampled_f1, hidden, image);
      add(sum, image);
      continue;
    }
    Matrix scaled = hidden;
    scale_runs(scaled, part.alpha, 1);
    block_apply_transpose(part.first(), scaled, image);
    add(sum, image);
    if (!part.gated()) continue;
    scale_runs(hidden, part.beta, 1);
    block_apply_transpose(part.weights.up.weight, hidden, image);
    add(sum, image);
  }
  ffn_in.apply_transpose(sum);
  return sum;
}

Matrix LinearizedLayer::Parts::strongest_rows(Index count) const {
  struct Neuron {
    double strength;
    std::size_t part, place;
  };
  std::vector<Neuron> neurons;
  for (std::size_t part = 0; part < ffns.size(); ++part)
    for (std::size_t j = 0; j < ffns[part].fit.strength.size(); ++j)
      neurons.push_back({ffns[part].weight * ffns[part].fit.strength[j], part, j});
  count = std::min(count, static_cast<Index>(neurons.size()));
  std::partial_sort(neurons.begin(), neurons.begin() + count, neurons.end(),
                    [](const Neuron& a, const Neuron& b) {
                      if (a.strength != b.strength) return a.strength > b.strength;
                      return a.part != b.part ? a.part < b.part : a.place < b.place;
                    });
  Matrix rows(count, hidden_size);
  std::vector<float> up(static_cast<std::size_t>(hidden_size));
  for (Index i = 0; i < count; ++i) {
    const Neuron& neuron = neurons[static_cast<std::size_t>(i)];
    const FfnPart& part = ffns[neuron.part];
    const std::span<float> row = rows.row(i);
    part.first().copy_row(static_cast<Index>(neuron.place), row);
    for (float& value : row) value *= part.alpha[neuron.place];
    if (!part.gated()) continue;
    part.weights.up.weight.copy_row(static_cast<Index>(neuron.place), up);
    for (std::size_t k = 0; k < row.size(); ++k) row[k] += part.beta[neuron.place] * up[k];
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
  parts.value_dim = config.value_head_dim();
  assert(parts.weights.attention.value.weight.rows == config.value_size());
  assert(parts.weights.attention.output.weight.cols == config.context_size());
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
  for (FfnPart& part : ffn_parts(parts.weights, config, options, input))
    parts.ffns.push_back(std::move(part));
  parts.fit = combined_fit(parts.ffns);
  const FfnInput attention_input =
      options.paper_parity ? FfnInput{} : input_of(*norms.attention_in, config, options.covariance);
  if (parts.weights.attention.latent.defined())
    parts.latent = latent_form(parts.weights.attention.latent, config, attention_input, options.paper_parity);
  if (!parts.weights.attention.sinks.empty())
    parts.head_shares = sink_shares(parts.weights.attention, config, attention_input);
  if (config.architecture->placement == NormPlacement::kOutput && !options.paper_parity) {
    normalize_output(parts.attention_out, parts.hidden_size, options.residual_rms,
                     [&](const Matrix& x) { return parts.attention(x); });
    normalize_output(parts.ffn_out, parts.hidden_size, options.residual_rms,
                     [&](const Matrix& x) { return parts.ffn(x); });
  }
  parts.attention_out.scale *= static_cast<float>(config.residual_scale);
  parts.ffn_out.scale *= static_cast<float>(config.residual_scale);
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
