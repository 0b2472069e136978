#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "lineage/attack_parts.h"
#include "lineage/attacks.h"

namespace defectoscope {
namespace {

/// `count` layers in the middle: the first of them.
Index middle(const char* attack, const EditableModel& model, double strength) {
  const Index layers = model.config().layers;
  const auto count = static_cast<Index>(strength);
  if (count < 1 || static_cast<double>(count) != strength || count >= layers)
    strength_out_of_range(attack, "a whole number from 1 to " + std::to_string(layers - 1), strength);
  return (layers - count) / 2;
}

}  // namespace

void add_noise(EditableModel& model, const AttackInput& input) {
  if (input.strength < 0) strength_out_of_range("noise", "0 or more", input.strength);
  for (auto& [name, matrix] : model.tensors()) {
    if (matrix.rows() > 1) add_noise_to(values_of(matrix), input.strength, input.random);
  }
}

void quantize_weights(EditableModel& model, const AttackInput& input) {
  const double bits = input.strength;
  if (bits < 2 || bits > 16 || bits != std::floor(bits))
    strength_out_of_range("quantize", "2 to 16 bits", bits);
  const auto steps = static_cast<float>(std::exp2(bits - 1) - 1);
  for (Index i = 0; i < model.config().layers; ++i)
    for (Matrix* matrix : model.matrices(i))
      for (Index r = 0; r < matrix->rows(); ++r) {
        float largest = 0;
        for (const float x : matrix->row(r)) largest = std::max(largest, std::abs(x));
        if (largest == 0) continue;
        for (float& x : matrix->row(r)) x = std::nearbyint(x / largest * steps) * largest / steps;
      }
}

void prune_weights(EditableModel& model, const AttackInput& input) {
  require_share("prune", input.strength);
  for (Index i = 0; i < model.config().layers; ++i)
    for (Matrix* matrix : model.matrices(i)) {
      const auto all = values_of(*matrix);
      std::vector<float> sizes(all.size());
      std::ranges::transform(all, sizes.begin(), [](float x) { return std::abs(x); });
      const auto count = static_cast<std::size_t>(input.strength * static_cast<double>(all.size()));
      if (count == 0) continue;
      const auto last = sizes.begin() + static_cast<std::ptrdiff_t>(count - 1);
      std::nth_element(sizes.begin(), last, sizes.end());
      for (float& x : all)
        if (std::abs(x) <= *last) x = 0;
    }
}

void drop_layers(EditableModel& model, const AttackInput& input) {
  const Index first = middle("drop-layers", model, input.strength);
  const Index end = first + static_cast<Index>(input.strength);
  std::vector<Index> kept;
  for (Index i = 0; i < model.config().layers; ++i)
    if (i < first || i >= end) kept.push_back(i);
  model.choose_layers(kept);
}

void duplicate_layers(EditableModel& model, const AttackInput& input) {
  const Index first = middle("duplicate-layers", model, input.strength);
  const Index end = first + static_cast<Index>(input.strength);
  std::vector<Index> kept;
  for (Index i = 0; i < model.config().layers; ++i) {
    kept.push_back(i);
    if (i == end - 1)
      for (Index k = first; k < end; ++k) kept.push_back(k);
  }
  model.choose_layers(kept);
}

void interpolate(EditableModel& model, const AttackInput& input) {
  if (input.other == nullptr)
    throw Error(ErrorKind::kUsage,
                ErrorParts{.what = "interpolate needs another model", .hint = "name it by --with"});
  require_share("interpolate", input.strength);
  for (auto& [name, matrix] : model.tensors()) {
    const auto found = input.other->tensors().find(name);
    if (found == input.other->tensors().end() || found->second.rows() != matrix.rows() ||
        found->second.cols() != matrix.cols())
      throw Error(ErrorKind::kUsage, {.what = "the models to interpolate are of different shape",
                                      .tensor = name,
                                      .hint = "take two models of one architecture and size"});
    const auto own = values_of(matrix), other = values_of(found->second);
    const auto weight = static_cast<float>(input.strength);
    for (std::size_t i = 0; i < own.size(); ++i) own[i] = (1 - weight) * own[i] + weight * other[i];
  }
}

void shuffle_embedding(EditableModel& model, const AttackInput& input) {
  require_share("embedding-shuffle", input.strength);
  Matrix& embedding = model.embedding();
  const auto swap_rows = [](Matrix& x, Index a, Index b) { std::ranges::swap_ranges(x.row(a), x.row(b)); };
  const auto count = static_cast<Index>(input.strength * static_cast<double>(embedding.rows()));
  for (Index i = count - 1; i > 0; --i) {
    const auto other = static_cast<Index>(input.random.below(static_cast<std::uint64_t>(i) + 1));
    swap_rows(embedding, i, other);
    if (model.lm_head()) swap_rows(*model.lm_head(), i, other);
  }
}

}  // namespace defectoscope
