// Attacks that change a model's shape or its vocabulary, and the low-rank update.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "lineage/attack_parts.h"
#include "lineage/attacks.h"

namespace defectoscope {
namespace {

constexpr Index kUpdateRank = 8;
constexpr double kNewRowNoise = 0.1;  // of a row's own size

/// The rows named, in that order.
Matrix rows_of(const Matrix& x, const std::vector<Index>& kept) {
  Matrix out(std::ssize(kept), x.cols());
  for (std::size_t i = 0; i < kept.size(); ++i)
    std::ranges::copy(x.row(kept[i]), out.row(static_cast<Index>(i)).begin());
  return out;
}

Matrix columns_of(const Matrix& x, const std::vector<Index>& kept) {
  Matrix out(x.rows(), std::ssize(kept));
  for (Index r = 0; r < x.rows(); ++r)
    for (std::size_t i = 0; i < kept.size(); ++i) out(r, static_cast<Index>(i)) = x(r, kept[i]);
  return out;
}

/// Neurons of a layer by what they can write: ‖up row‖ · ‖gate row‖ · ‖down column‖, the largest `count`,
/// ascending.
std::vector<Index> strongest_neurons(EditableModel& model, Index layer, Index count) {
  const EditableModel::Part up = model.up(layer), gate = model.gate(layer);
  const Matrix& down = *model.down(layer).weight;
  std::vector<double> strength(static_cast<std::size_t>(model.config().ffn_size));
  for (Index j = 0; j < model.config().ffn_size; ++j) {
    double column = 0;
    for (Index r = 0; r < down.rows(); ++r)
      column += static_cast<double>(down(r, j)) * static_cast<double>(down(r, j));
    strength[static_cast<std::size_t>(j)] =
        column * squares(up.row(j)) * (gate.defined() ? squares(gate.row(j)) : 1.0);
  }
  std::vector<Index> order(strength.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::ranges::stable_sort(order, std::greater<>(),
                           [&](Index j) { return strength[static_cast<std::size_t>(j)]; });
  order.resize(static_cast<std::size_t>(count));
  std::ranges::sort(order);
  return order;
}

}  // namespace

void extend_vocabulary(EditableModel& model, const AttackInput& input) {
  if (!(input.strength > 0) || input.strength > 10)
    strength_out_of_range("vocabulary-extension", "above 0, at most 10", input.strength);
  const Index before = model.config().vocab_size;
  const auto added = std::max<Index>(1, static_cast<Index>(input.strength * static_cast<double>(before)));
  if (model.logit_bias() != nullptr)
    throw Error(ErrorKind::kUsage, ErrorParts{.what = "vocabulary-extension does not know how to go on here",
                                              .got = "a bias of the logits"});
  // New rows are noisy copies of old ones, as in practice, where they start from the mean or from like words.
  for (Matrix* table : {&model.embedding(), model.lm_head()}) {
    if (table == nullptr) continue;
    Matrix larger(before + added, table->cols());
    for (Index r = 0; r < before; ++r) std::ranges::copy(table->row(r), larger.row(r).begin());
    for (Index r = before; r < before + added; ++r) {
      const auto like =
          table->row(static_cast<Index>(input.random.below(static_cast<std::uint64_t>(before))));
      const double noise = kNewRowNoise * std::sqrt(squares(like) / static_cast<double>(like.size()));
      for (std::size_t i = 0; i < like.size(); ++i)
        larger.row(r)[i] = static_cast<float>(static_cast<double>(like[i]) + noise * input.random.normal());
    }
    *table = std::move(larger);
  }
  model.set_vocab_size(before + added);
}

void shuffle_vocabulary(EditableModel& model, const AttackInput& input) {
  require_share("vocabulary-shuffle", input.strength);
  std::vector<Index> places(static_cast<std::size_t>(model.config().vocab_size));
  std::iota(places.begin(), places.end(), Index{0});
  // A random share of the entries, in random order: each goes where the next one was.
  const std::vector<Index> movable = model.movable_tokens();
  std::vector<Index> chosen = random_order(std::ssize(movable), input.random);
  chosen.resize(static_cast<std::size_t>(input.strength * static_cast<double>(movable.size())));
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const Index from = chosen[i], to = chosen[(i + 1) % chosen.size()];
    places[static_cast<std::size_t>(movable[static_cast<std::size_t>(from)])] =
        movable[static_cast<std::size_t>(to)];
  }
  model.move_tokens(places);
}

void insert_layers(EditableModel& model, const AttackInput& input) {
  const NormPlacement placement = model.architecture().placement;
  if (placement != NormPlacement::kPre)
    refuse("layer-insertion", "the family normalizes what its blocks write, zeros included");
  const Index layers = model.config().layers;
  const auto count = static_cast<Index>(input.strength);
  if (count < 1 || static_cast<double>(count) != input.strength || count > layers)
    strength_out_of_range("layer-insertion", "a whole number from 1 to " + std::to_string(layers),
                          input.strength);
  // Spread over the depth: after layer (k + 1) · layers / (count + 1), a copy of it that writes nothing.
  std::vector<Index> order, inserted;
  Index next = 0;
  for (Index i = 0; i < layers; ++i) {
    order.push_back(i);
    while (next < count && (next + 1) * layers / (count + 1) == i + 1) {
      inserted.push_back(std::ssize(order));
      order.push_back(i);
      ++next;
    }
  }
  for (; next < count; ++next) {
    inserted.push_back(std::ssize(order));
    order.push_back(layers - 1);
  }
  model.choose_layers(order);
  for (const Index i : inserted)
    for (const EditableModel::Part& writer : {model.output(i), model.down(i)}) {
      std::ranges::fill(values_of(*writer.weight), 0.0f);
      if (writer.bias) std::ranges::fill(values_of(*writer.bias), 0.0f);
    }
}

void add_low_rank(EditableModel& model, const AttackInput& input) {
  if (input.strength < 0) strength_out_of_range("low-rank", "0 or more", input.strength);
  for (Index i = 0; i < model.config().layers; ++i)
    for (Matrix* matrix : model.matrices(i)) {
      const Index rank = std::min({kUpdateRank, matrix->rows(), matrix->cols()});
      Matrix b(matrix->rows(), rank), a(rank, matrix->cols()), update(matrix->rows(), matrix->cols());
      for (Matrix* factor : {&b, &a})
        for (float& x : values_of(*factor)) x = static_cast<float>(input.random.normal());
      for (Index r = 0; r < update.rows(); ++r)
        for (Index k = 0; k < rank; ++k)
          for (Index c = 0; c < update.cols(); ++c) update(r, c) += b(r, k) * a(k, c);
      const double size = squares(values_of(update));
      if (!(size > 0)) continue;
      const auto scale = static_cast<float>(input.strength * std::sqrt(squares(values_of(*matrix)) / size));
      for (Index k = 0; k < matrix->rows() * matrix->cols(); ++k)
        matrix->data()[k] += scale * update.data()[k];
    }
}

void prune_neurons(EditableModel& model, const AttackInput& input) {
  const Index neurons = model.config().ffn_size;
  const auto kept = neurons - static_cast<Index>(input.strength * static_cast<double>(neurons));
  if (input.strength < 0 || kept < 1)
    strength_out_of_range("prune-neurons", "a share from 0 to below 1", input.strength);
  std::vector<std::vector<Index>> chosen;
  for (Index i = 0; i < model.config().layers; ++i) chosen.push_back(strongest_neurons(model, i, kept));
  for (Index i = 0; i < model.config().layers; ++i) {
    const std::vector<Index>& neuron = chosen[static_cast<std::size_t>(i)];
    const EditableModel::Part up = model.up(i), gate = model.gate(i), down = model.down(i);
    *down.weight = columns_of(*down.weight, neuron);
    const bool fused = gate.defined() && gate.weight == up.weight;
    const auto shrink = [&](const EditableModel::Part& part) {
      std::vector<Index> rows;
      if (fused)
        for (const Index j : neuron) rows.push_back(gate.rows[static_cast<std::size_t>(j)]);
      for (const Index j : neuron) rows.push_back(part.rows[static_cast<std::size_t>(j)]);
      if (part.bias) *part.bias = columns_of(*part.bias, rows);
      *part.weight = rows_of(*part.weight, rows);
    };
    shrink(up);
    if (gate.defined() && !fused) shrink(gate);
  }
  model.set_ffn_size(kept);
}

void add_embedding_noise(EditableModel& model, const AttackInput& input) {
  if (input.strength < 0) strength_out_of_range("embedding-noise", "0 or more", input.strength);
  add_noise_to(values_of(model.embedding()), input.strength, input.random);
}

void replace_embedding(EditableModel& model, const AttackInput& input) {
  require_share("embedding-replacement", input.strength);
  Matrix& embedding = model.embedding();
  for (Index r = 0; r < embedding.rows(); ++r) {
    if (input.random.uniform() >= input.strength) continue;
    const auto row = embedding.row(r);
    const double deviation = std::sqrt(squares(row) / static_cast<double>(row.size()));
    for (float& x : row) x = static_cast<float>(deviation * input.random.normal());
  }
}

}  // namespace defectoscope
