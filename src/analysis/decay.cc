#include "analysis/decay.h"

#include <algorithm>

#include "analysis/angle.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "kernels/pointwise.h"
#include "spectral/eigen.h"

namespace defectoscope {
namespace {

/// Norms of states and their parts along a direction, every layer.
class Projector final : public Observer {
 public:
  explicit Projector(std::span<const float> direction) : direction_(direction) {}
  void on_states(Index, Tap tap, const Batch&, MatrixView states) override {
    if (tap != Tap::kEmbedding && tap != Tap::kAfterLayer) return;
    check_interrupt();
    std::vector<double> length(static_cast<std::size_t>(states.rows())), along(length.size());
    parallel_ranges(states.rows(), 64, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        length[static_cast<std::size_t>(i)] = norm(states.row(i));
        along[static_cast<std::size_t>(i)] = dot(states.row(i), direction_);
      }
    });
    norms.push_back(std::move(length));
    parts.push_back(std::move(along));
  }
  std::vector<std::vector<double>> norms, parts;  // [layers + 1][tokens]

 private:
  std::span<const float> direction_;
};

}  // namespace

std::vector<DecayRatio> decay_ratios(const Transformer& transformer, const std::vector<TokenIds>& rows,
                                     std::span<const float> direction, double threshold) {
  Projector projector(direction);
  transformer.run(Batch(rows), projector);
  std::vector<DecayRatio> ratios;
  for (std::size_t layer = 1; layer < projector.norms.size(); ++layer) {
    DecayRatio result;
    double sum = 0;
    for (std::size_t i = 0; i < projector.norms[layer].size(); ++i) {
      const double before = projector.parts[layer - 1][i];
      if (projector.norms[layer - 1][i] <= threshold || before == 0) continue;
      sum += (projector.parts[layer][i] - before) / before;
      ++result.inputs;
    }
    if (result.inputs > 0) result.ratio = sum / static_cast<double>(result.inputs);
    ratios.push_back(result);
  }
  return ratios;
}

void analyse_decay(const LinearizedLayer& layer, std::span<const float> direction, bool exact,
                   LayerReport& report) {
  const LinearOperator& residual_part = layer.form(LinearForm::kResidual);
  const std::vector<double> start = widened(direction);
  const RayleighQuotient rayleigh = rayleigh_quotient(residual_part, start);
  report.rayleigh = rayleigh.value;
  report.rayleigh_residual = rayleigh.residual;

  EigenPair nearest;
  if (exact) {
    std::vector<EigenPair> pairs = dense_eigenpairs(form(residual_part));
    double best = 91;
    for (EigenPair& pair : pairs) {
      const double angle = real_part_angle_degrees(pair, start);
      if (angle >= best) continue;
      best = angle;
      nearest = std::move(pair);
    }
    nearest.certified = nearest.residual <= kCertifiedResidual * std::abs(nearest.value);
  } else {
    nearest = nearest_eigenpair(residual_part, start, {});
  }
  if (nearest.re.empty()) return;
  report.eigenvalue = nearest.value;
  report.eigenvector_angle_degrees = real_part_angle_degrees(nearest, start);
  report.eigenvector_span_angle_degrees = span_angle_degrees(nearest, start);
  report.eigen_residual = nearest.residual;
  report.eigenpair_certified = nearest.certified;
}

}  // namespace defectoscope
