#include <cmath>
#include <numbers>

#include "spectral/basis.h"
#include "spectral/eigen.h"

namespace defectoscope {
namespace {

constexpr double kDegrees = 180 / std::numbers::pi;

DoubleMatrix as_row(std::span<const double> x) {
  DoubleMatrix row(1, static_cast<Index>(x.size()));
  std::copy(x.begin(), x.end(), row.data());
  return row;
}

/// Angle of d to the span of a basis, degrees: from both legs, so that neither end loses digits.
double angle_to(const Basis& basis, std::span<const double> d) {
  if (basis.size() == 0) return 90;
  DoubleMatrix rest = as_row(d), part(1, basis.size());
  rows_by_rows(rest.view(), basis.rows(), part.view());
  add_combination(-1.0, part.view(), basis.rows(), rest.view());
  const double along = norm(part.row(0)), across = norm(rest.row(0));
  return along == 0 && across == 0 ? 90 : std::atan2(across, along) * kDegrees;
}

}  // namespace

double acute_angle_degrees(std::span<const double> x, std::span<const double> y) {
  Basis basis(static_cast<Index>(x.size()));
  basis.append(as_row(x), 0);
  return angle_to(basis, y);
}

double real_part_angle_degrees(const EigenPair& pair, std::span<const double> d) {
  return acute_angle_degrees(pair.re, d);
}

double span_angle_degrees(const EigenPair& pair, std::span<const double> d) {
  Basis basis(static_cast<Index>(pair.re.size()));
  basis.append(as_row(pair.re), 0);
  // A real eigenvector's imaginary part is rounding noise, or zero.
  basis.append(as_row(pair.im), 1e-12 * norm(pair.re));
  return angle_to(basis, d);
}

RayleighQuotient rayleigh_quotient(const LinearOperator& a, std::span<const double> d) {
  const double length = norm(d);
  if (length == 0) return {};
  DoubleMatrix unit = as_row(d);
  for (double& value : unit.row(0)) value /= length;
  Matrix image(1, a.rows());
  a.apply(to_float(unit.view()), image);
  const DoubleMatrix y = to_double(image.view());
  RayleighQuotient quotient{.value = dot(unit.row(0), y.row(0))};
  double sum = 0;
  for (Index i = 0; i < a.rows(); ++i) sum += std::pow(y(0, i) - quotient.value * unit(0, i), 2);
  quotient.residual = std::sqrt(sum);
  return quotient;
}

}  // namespace defectoscope
