#include <algorithm>
#include <cmath>

#include "lineage/attack_parts.h"
#include "lineage/attacks.h"
#include "spectral/basis.h"
#include "spectral/lapack.h"

namespace defectoscope {
namespace {

constexpr float kSmallestGain = 1e-6f;

void require_pre_norms(const EditableModel& model, const std::string& attack) {
  if (model.architecture().placement != NormPlacement::kPre)
    refuse(attack, "the family normalizes what its blocks write");
  if (!model.architecture().names.embedding_norm.empty())
    refuse(attack, "the family normalizes its embedding");
}

/// Columns of x in a new order: column i was column order[i].
void permute_columns(Matrix& x, const std::vector<Index>& order) {
  std::vector<float> old(static_cast<std::size_t>(x.cols()));
  for (Index r = 0; r < x.rows(); ++r) {
    std::ranges::copy(x.row(r), old.begin());
    for (std::size_t i = 0; i < old.size(); ++i) x.row(r)[i] = old[static_cast<std::size_t>(order[i])];
  }
}

/// Rows of a part (and its bias) in a new order.
void permute_rows(const EditableModel::Part& part, const std::vector<Index>& order) {
  const Matrix old = *part.weight;
  const Matrix old_bias = part.bias ? *part.bias : Matrix();
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto from = static_cast<std::size_t>(order[i]);
    std::ranges::copy(old.row(part.rows[from]), part.row(static_cast<Index>(i)).begin());
    if (part.bias) *part.bias_at(static_cast<Index>(i)) = old_bias(0, part.rows[from]);
  }
}

/// Blocks of `size` rows each in a new order, as an order of rows.
std::vector<Index> block_order(const std::vector<Index>& blocks, Index size) {
  std::vector<Index> order;
  for (const Index block : blocks)
    for (Index i = 0; i < size; ++i) order.push_back(block * size + i);
  return order;
}

/// The matrices that read what each of the model's norms gives.
struct NormWithReaders {
  EditableModel::Norm norm;
  std::vector<Matrix*> readers;
};
std::vector<NormWithReaders> norms_with_readers(EditableModel& model) {
  std::vector<NormWithReaders> all;
  for (Index i = 0; i < model.config().layers; ++i) {
    std::vector<Matrix*> attention = model.attention_readers(i), ffn = model.ffn_readers(i);
    if (!model.ffn_norm(i).defined()) {
      attention.insert(attention.end(), ffn.begin(), ffn.end());
      ffn.clear();
    }
    if (model.attention_norm(i).defined()) all.push_back({model.attention_norm(i), attention});
    if (model.ffn_norm(i).defined()) all.push_back({model.ffn_norm(i), ffn});
  }
  if (model.lm_head() != nullptr && model.final_norm().defined())
    all.push_back({model.final_norm(), {model.lm_head()}});
  return all;
}

/// Gain g becomes g / t, shift s becomes s / t, readers' column j takes t_j.
void move_gain(const EditableModel& model, const NormWithReaders& place, const std::vector<float>& t) {
  const auto offset = static_cast<float>(model.config().norm_gain_offset);
  for (std::size_t j = 0; j < t.size(); ++j) {
    float& gain = place.norm.gain->row(0)[j];
    gain = (gain + offset) / t[j] - offset;
    if (place.norm.shift) place.norm.shift->row(0)[j] /= t[j];
    for (Matrix* reader : place.readers)
      for (Index r = 0; r < reader->rows(); ++r) (*reader)(r, static_cast<Index>(j)) *= t[j];
  }
}

/// Gains into the readers, and exp(deviation · N) in their place.
void fold(EditableModel& model, double deviation, Random& random) {
  for (const NormWithReaders& place : norms_with_readers(model)) {
    std::vector<float> t;
    for (const float stored : place.norm.gain->row(0)) {
      const float gain = stored + static_cast<float>(model.config().norm_gain_offset);
      const auto fresh = static_cast<float>(std::exp(deviation * (deviation > 0 ? random.normal() : 0)));
      t.push_back(std::abs(gain) > kSmallestGain ? gain / fresh : 1.0f);
    }
    move_gain(model, place, t);
  }
}

/// x · q for all rows.
void multiply_right(Matrix& x, const DoubleMatrix& q_transposed) {
  DoubleMatrix out(x.rows(), q_transposed.rows());
  rows_by_rows(to_double(x), q_transposed, out);
  x = to_float(out);
}

/// Random orthogonal [n, n].
DoubleMatrix random_orthogonal(Index n, Random& random) {
  Basis basis(n);
  basis.append(random_block(n, n, random.next_u64(), 0), 0);
  DoubleMatrix rows(n, n);
  std::copy_n(basis.rows().data(), n * n, rows.data());
  return rows;
}

void scale_all(Matrix* x, double factor) {
  if (x == nullptr) return;
  for (Index i = 0; i < x->rows() * x->cols(); ++i)
    x->data()[i] = static_cast<float>(static_cast<double>(x->data()[i]) * factor);
}

}  // namespace

void permute_hidden(EditableModel& model, const AttackInput& input) {
  const std::vector<Index> order = random_order(model.config().hidden_size, input.random);
  permute_columns(model.embedding(), order);
  if (model.position_embedding()) permute_columns(*model.position_embedding(), order);
  if (model.lm_head()) permute_columns(*model.lm_head(), order);
  std::vector<EditableModel::Norm> norms{model.embedding_norm(), model.final_norm()};
  for (Index i = 0; i < model.config().layers; ++i) {
    for (Matrix* reader : model.attention_readers(i)) permute_columns(*reader, order);
    for (Matrix* reader : model.ffn_readers(i)) permute_columns(*reader, order);
    permute_rows(model.output(i), order);
    permute_rows(model.down(i), order);
    for (const EditableModel::Norm& norm :
         {model.attention_norm(i), model.attention_post_norm(i), model.ffn_norm(i), model.ffn_post_norm(i)})
      norms.push_back(norm);
  }
  for (const EditableModel::Norm& norm : norms)
    for (Matrix* values : {norm.gain, norm.shift})
      if (values) permute_columns(*values, order);
}

void fold_gains(EditableModel& model, const AttackInput& input) {
  if (model.architecture().placement != NormPlacement::kPre &&
      model.architecture().placement != NormPlacement::kSandwich)
    refuse("gain-folding", "the norms' outputs go into the residual, where gains cannot be moved on");
  fold(model, std::abs(input.strength), input.random);
}

void permute_neurons(EditableModel& model, const AttackInput& input) {
  for (Index i = 0; i < model.config().layers; ++i) {
    const std::vector<Index> order = random_order(model.config().ffn_size, input.random);
    if (model.gate(i).defined()) permute_rows(model.gate(i), order);
    permute_rows(model.up(i), order);
    permute_columns(*model.down(i).weight, order);
  }
}

void rescale_neurons(EditableModel& model, const AttackInput& input) {
  const bool gated = model.architecture().ffn != FfnForm::kPlain;
  if (!gated && model.config().activation != Activation::kRelu)
    refuse("up-down-rescaling",
           "the activation between up and down is not homogeneous, and there is no gate");
  for (Index i = 0; i < model.config().layers; ++i) {
    const EditableModel::Part up = model.up(i);
    Matrix& down = *model.down(i).weight;
    for (Index j = 0; j < model.config().ffn_size; ++j) {
      const auto t = static_cast<float>(std::exp(input.strength * input.random.normal()));
      for (float& x : up.row(j)) x *= t;
      if (up.bias) *up.bias_at(j) *= t;
      for (Index r = 0; r < down.rows(); ++r) down(r, j) /= t;
    }
  }
}

void reparametrise_values(EditableModel& model, const AttackInput& input) {
  const ModelConfig& config = model.config();
  if (config.qkv_limit != 0) refuse("value-output", "values are clipped");
  const Index dim = config.head_dim, queries = config.heads / config.kv_heads;
  for (Index i = 0; i < config.layers; ++i) {
    const EditableModel::Part value = model.value(i);
    Matrix& output = *model.output(i).weight;
    for (Index h = 0; h < config.kv_heads; ++h) {
      // M = D Q, M⁻¹ = Qᵀ D⁻¹.
      const DoubleMatrix q = random_orthogonal(dim, input.random);
      std::vector<double> stretch(static_cast<std::size_t>(dim));
      for (double& d : stretch) d = std::exp(input.strength * input.random.normal());
      DoubleMatrix old(dim, value.weight->cols() + 1), made(dim, old.cols());
      for (Index r = 0; r < dim; ++r) {
        std::ranges::copy(value.row(h * dim + r), old.row(r).begin());
        old(r, old.cols() - 1) = value.bias ? static_cast<double>(*value.bias_at(h * dim + r)) : 0.0;
      }
      add_combination(1, q, old, made);
      for (Index r = 0; r < dim; ++r) {
        const double d = stretch[static_cast<std::size_t>(r)];
        for (Index c = 0; c + 1 < made.cols(); ++c)
          value.row(h * dim + r)[static_cast<std::size_t>(c)] = static_cast<float>(d * made(r, c));
        if (value.bias) *value.bias_at(h * dim + r) = static_cast<float>(d * made(r, made.cols() - 1));
      }
      for (Index g = h * queries; g < (h + 1) * queries; ++g) {
        DoubleMatrix block(output.rows(), dim), turned_block(output.rows(), dim);
        for (Index r = 0; r < output.rows(); ++r)
          for (Index c = 0; c < dim; ++c) block(r, c) = static_cast<double>(output(r, g * dim + c));
        rows_by_rows(block, q, turned_block);  // O Qᵀ
        for (Index r = 0; r < output.rows(); ++r)
          for (Index c = 0; c < dim; ++c)
            output(r, g * dim + c) =
                static_cast<float>(turned_block(r, c) / stretch[static_cast<std::size_t>(c)]);
      }
    }
  }
}

void permute_heads(EditableModel& model, const AttackInput& input) {
  const ModelConfig& config = model.config();
  if (model.config().qk_norm != QkNorm::kNone)
    refuse("head-permutation", "queries and keys pass norms of their own");
  if (model.architecture().position == PositionKind::kAlibi)
    refuse("head-permutation", "ALiBi gives every head its own slope");
  const Index dim = config.head_dim, queries = config.heads / config.kv_heads;
  for (Index i = 0; i < config.layers; ++i) {
    const std::vector<Index> groups = random_order(config.kv_heads, input.random);
    const std::vector<Index> wide = block_order(groups, queries * dim), narrow = block_order(groups, dim);
    permute_rows(model.query(i), wide);
    permute_rows(model.key(i), narrow);
    permute_rows(model.value(i), narrow);
    permute_columns(*model.output(i).weight, wide);
  }
}

void rotate_hidden(EditableModel& model, const AttackInput& input) {
  require_pre_norms(model, "rotation");
  if (model.architecture().norm != NormKind::kRmsNorm)
    refuse("rotation", "LayerNorm subtracts the mean, which a rotation moves");
  if (model.lm_head() == nullptr)
    refuse("rotation",
           "the head is tied to the embedding, so the final gain cannot be folded: untie it first");
  fold(model, 0, input.random);
  const DoubleMatrix q = random_orthogonal(model.config().hidden_size, input.random);
  const auto rotate_reader = [&](Matrix* reader) { multiply_right(*reader, q); };  // W Qᵀ on Q h
  const auto rotate_writer = [&](const EditableModel::Part& writer) {
    DoubleMatrix out(writer.weight->rows(), writer.weight->cols());
    add_combination(1, q, to_double(*writer.weight), out);
    *writer.weight = to_float(out);
    if (writer.bias) multiply_right(*writer.bias, q);
  };
  rotate_reader(&model.embedding());
  if (model.position_embedding()) rotate_reader(model.position_embedding());
  rotate_reader(model.lm_head());
  for (Index i = 0; i < model.config().layers; ++i) {
    for (Matrix* reader : model.attention_readers(i)) rotate_reader(reader);
    for (Matrix* reader : model.ffn_readers(i)) rotate_reader(reader);
    rotate_writer(model.output(i));
    rotate_writer(model.down(i));
  }
}

void scale_residual(EditableModel& model, const AttackInput& input) {
  require_pre_norms(model, "residual-scaling");
  const double c = input.strength;
  if (!(c > 0)) refuse("residual-scaling", "the factor must be above 0");
  scale_all(&model.embedding(), c);
  scale_all(model.position_embedding(), c);
  for (Index i = 0; i < model.config().layers; ++i)
    for (const EditableModel::Part& writer : {model.output(i), model.down(i)}) {
      scale_all(writer.weight, c);
      scale_all(writer.bias, c);
    }
  if (model.lm_head() == nullptr) {  // the tied head took c: the final norm gives it back
    if (model.config().norm_gain_offset != 0) refuse("residual-scaling", "the head is tied to the embedding");
    scale_all(model.final_norm().gain, 1 / c);
    scale_all(model.final_norm().shift, 1 / c);
  }
  model.set_norm_eps(model.config().norm_eps * c * c);
}

}  // namespace defectoscope
