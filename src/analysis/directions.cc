#include "analysis/directions.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "analysis/angle.h"
#include "analysis/decay.h"
#include "base/random.h"
#include "kernels/pointwise.h"
#include "spectral/singular.h"

namespace defectoscope {
namespace {

/// Leading triplets, by whichever method.
struct Leading {
  std::vector<double> values;
  std::vector<float> left, right;
  Index passes = 0;
  double residual = 0;
  double angle_bound_degrees = 90;
  bool converged = false;
};

std::vector<float> first_row(const Matrix& rows) {
  const auto row = rows.row(0);
  return {row.begin(), row.end()};
}

Leading by_krylov(const LinearOperator& a, std::uint64_t seed) {
  SingularOptions options;
  options.seed = seed;
  const SingularTriplets triplets = leading_singular(a, options);
  return {.values = triplets.values,
          .left = first_row(triplets.left),
          .right = first_row(triplets.right),
          .passes = triplets.passes,
          .residual = triplets.residuals.empty() ? 0 : triplets.residuals[0],
          .angle_bound_degrees = triplets.angle_bound_degrees,
          .converged = triplets.converged};
}

/// ‖A v − σ u‖ and ‖Aᵀ u − σ v‖, the larger, over σ.
double measured_residual(const LinearOperator& a, const Leading& leading) {
  Matrix v(1, a.cols()), u(1, a.rows()), av(1, a.rows()), atu(1, a.cols());
  std::copy(leading.right.begin(), leading.right.end(), v.data());
  std::copy(leading.left.begin(), leading.left.end(), u.data());
  a.apply(v, av);
  a.apply_transpose(u, atu);
  const double sigma = leading.values[0];
  double forward = 0, backward = 0;
  for (Index i = 0; i < a.rows(); ++i) forward += std::pow(av(0, i) - sigma * u(0, i), 2);
  for (Index i = 0; i < a.cols(); ++i) backward += std::pow(atu(0, i) - sigma * v(0, i), 2);
  return sigma > 0 ? std::sqrt(std::max(forward, backward)) / sigma : 0;
}

Leading by_lapack(const LinearOperator& a) {
  const DenseSvd svd = dense_svd(form(a));
  Leading leading;
  leading.values.assign(svd.values.begin(),
                        svd.values.begin() + std::min<std::ptrdiff_t>(2, std::ssize(svd.values)));
  for (const double value : svd.left.row(0)) leading.left.push_back(static_cast<float>(value));
  for (const double value : svd.right.row(0)) leading.right.push_back(static_cast<float>(value));
  leading.residual = measured_residual(a, leading);
  const double gap = leading.values.size() < 2 ? 1 : 1 - leading.values[1] / leading.values[0];
  leading.angle_bound_degrees =
      gap > leading.residual ? std::asin(leading.residual / gap) * 180 / std::numbers::pi : 90;
  leading.converged = true;
  return leading;
}

/// Turns u (and v with it) towards the direction, or its largest component up.
void fix_sign(std::span<const float> direction, std::vector<float>& left, std::vector<float>* right) {
  double sense = 0;
  if (!direction.empty()) {
    sense = dot(left, direction);
  } else {
    for (const float value : left)
      if (std::abs(value) > std::abs(sense)) sense = value;
  }
  if (sense >= 0) return;
  for (float& value : left) value = -value;
  if (right != nullptr)
    for (float& value : *right) value = -value;
}

}  // namespace

LayerReport analyse_layer(const Model& model, Index layer_index, std::span<const float> direction,
                          const DirectionOptions& options) {
  const LinearizedLayer layer(model.layer(layer_index), model.config(), options.linearize);
  const LinearOperator& whole = layer.form(LinearForm::kLayer);
  const LinearOperator& ffn = layer.form(LinearForm::kFfn);
  // Every layer its own starting block, whatever order layers come in.
  const std::uint64_t seed = Random(options.seed, static_cast<std::uint64_t>(layer_index)).next_u64();

  LayerReport report;
  report.layer = layer_index + 1;
  Leading leading = options.exact ? by_lapack(whole) : by_krylov(whole, seed);
  fix_sign(direction, leading.left, &leading.right);
  report.singular_values = leading.values;
  report.passes = leading.passes;
  report.residual = leading.residual;
  report.angle_bound_degrees = leading.angle_bound_degrees;
  report.converged = leading.converged;

  Leading of_ffn = options.exact ? by_lapack(ffn) : by_krylov(ffn, seed);
  fix_sign(direction, of_ffn.left, nullptr);
  report.ffn_singular_values = of_ffn.values;

  if (!direction.empty()) {
    report.left_angle_degrees = acute_angle_degrees(leading.left, direction);
    report.ffn_left_angle_degrees = acute_angle_degrees(of_ffn.left, direction);
    analyse_decay(layer, direction, options.exact, report);
  }
  report.left = std::move(leading.left);
  report.right = std::move(leading.right);
  report.ffn_left = std::move(of_ffn.left);

  const FfnFit& fit = layer.fit();
  report.linear_variance_explained = fit.linear_share;
  report.quadratic_variance_explained = fit.quadratic_share;
  report.linear_variance_explained_weighted = fit.linear_share_weighted;
  report.quadratic_variance_explained_weighted = fit.quadratic_share_weighted;
  return report;
}

}  // namespace defectoscope
