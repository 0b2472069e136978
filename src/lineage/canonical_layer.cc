#include "lineage/canonical_layer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "lineage/embedded_tokens.h"
#include "linearize/layer_parts.h"
#include "model/model.h"

namespace defectoscope {
namespace {

constexpr Index kRowTile = 256;

/// Rows of x less their mean: x := P x.
void centre(MatrixView x) {
  for (Index r = 0; r < x.rows(); ++r) {
    const auto row = x.row(r);
    const double mean = std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(row.size());
    for (float& value : row) value = static_cast<float>(value - mean);
  }
}

void add_scaled(Matrix& x, double scale, const Matrix& y) {
  const auto factor = static_cast<float>(scale);
  for (Index i = 0; i < x.rows() * x.cols(); ++i) x.data()[i] += factor * y.data()[i];
}

Matrix applied(const LinearOperator& a, bool transposed, const Matrix& x) {
  Matrix y(x.rows(), transposed ? a.cols() : a.rows());
  if (transposed)
    a.apply_transpose(x, y);
  else
    a.apply(x, y);
  return y;
}

bool has_own_scale(NormPlacement placement) {
  return placement == NormPlacement::kPost || placement == NormPlacement::kOutput;
}

}  // namespace

double embedding_rms(const Model& model) {
  const ArchitectureSpec& architecture = *model.config().architecture;
  if (architecture.placement == NormPlacement::kPost) return 1;
  const bool centred = architecture.norm == NormKind::kLayerNorm;
  const WeightMatrix embedding = model.embedding();
  const Index tiles = (embedding.rows + kRowTile - 1) / kRowTile;
  std::vector<double> sums(static_cast<std::size_t>(tiles), 0.0);
  parallel_for(tiles, [&](Index tile) {
    std::vector<TokenId> ids;
    for (Index r = tile * kRowTile; r < std::min(embedding.rows, (tile + 1) * kRowTile); ++r)
      ids.push_back(static_cast<TokenId>(r));
    Matrix rows = embedded_tokens(model, ids);
    if (centred) centre(rows);
    for (Index r = 0; r < rows.rows(); ++r)
      for (const float value : rows.row(r))
        sums[static_cast<std::size_t>(tile)] += static_cast<double>(value) * static_cast<double>(value);
  });
  const double entries =
      static_cast<double>(embedding.rows) * static_cast<double>(model.config().hidden_size);
  const double rms = std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0) / entries);
  if (!std::isfinite(rms) || rms <= 0)
    throw_bad_input({.what = "the embedding has no scale to measure the layers by",
                     .file = model.folder().string(),
                     .tensor = embedding.name,
                     .expected = "finite numbers, not all zero",
                     .got = rms <= 0 ? "zeros" : "NaN or infinity",
                     .hint = "the checkpoint is damaged: fetch it again"});
  return rms;
}

Canonical canonical_of(const Model& model) {
  return {.residual_rms = embedding_rms(model),
          .centred = model.config().architecture->norm == NormKind::kLayerNorm};
}

CanonicalLayer::CanonicalLayer(const LinearizedLayer& layer, const Canonical& canonical)
    : layer_(layer), canonical_(canonical) {}

void CanonicalLayer::apply(ConstMatrixView x, MatrixView y) const { apply(false, x, y); }
void CanonicalLayer::apply_transpose(ConstMatrixView x, MatrixView y) const { apply(true, x, y); }

void CanonicalLayer::apply(bool transposed, ConstMatrixView x, MatrixView y) const {
  const ArchitectureSpec& architecture = *layer_.parts().architecture;
  Matrix state(x);
  if (canonical_.centred) centre(state);
  if (has_own_scale(architecture.placement)) {
    state = applied(layer_.form(LinearForm::kLayer), transposed, state);
  } else {
    const LinearOperator* first = &layer_.form(LinearForm::kAttention);
    const LinearOperator* second = &layer_.form(LinearForm::kFfn);
    if (transposed) std::swap(first, second);
    const double scale = 1 / canonical_.residual_rms;
    if (architecture.residual == ResidualForm::kSequential) {
      add_scaled(state, scale, applied(*first, transposed, state));
      add_scaled(state, scale, applied(*second, transposed, state));
    } else {
      const Matrix of_first = applied(*first, transposed, state);
      add_scaled(state, scale, applied(*second, transposed, state));
      add_scaled(state, scale, of_first);
    }
  }
  if (canonical_.centred) centre(state);
  for (Index r = 0; r < state.rows(); ++r) std::ranges::copy(state.row(r), y.row(r).begin());
}

Matrix CanonicalLayer::likely_right_vectors(Index count) const {
  return layer_.form(LinearForm::kLayer).likely_right_vectors(count);
}

void CanonicalResidual::apply(ConstMatrixView x, MatrixView y) const {
  layer_.apply(x, y);
  subtract(x, y);
}

void CanonicalResidual::apply_transpose(ConstMatrixView x, MatrixView y) const {
  layer_.apply_transpose(x, y);
  subtract(x, y);
}

void CanonicalResidual::subtract(ConstMatrixView x, MatrixView y) const {
  Matrix state(x);
  if (centred_) centre(state);
  for (Index r = 0; r < y.rows(); ++r)
    for (Index c = 0; c < y.cols(); ++c) y(r, c) -= state(r, c);
}

CanonicalFfn::CanonicalFfn(const LinearizedLayer& layer, const Canonical& canonical)
    : ffn_(layer.form(LinearForm::kFfn)), centred_(canonical.centred) {}

void CanonicalFfn::apply(ConstMatrixView x, MatrixView y) const {
  Matrix state(x);
  if (centred_) centre(state);
  ffn_.apply(state, y);
  if (centred_) centre(y);
}

void CanonicalFfn::apply_transpose(ConstMatrixView x, MatrixView y) const {
  Matrix state(x);
  if (centred_) centre(state);
  ffn_.apply_transpose(state, y);
  if (centred_) centre(y);
}

}  // namespace defectoscope
