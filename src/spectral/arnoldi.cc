#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/progress.h"
#include "spectral/basis.h"
#include "spectral/eigen.h"

namespace defectoscope {
namespace {

constexpr double kProductNoise = 2.0 * std::numeric_limits<float>::epsilon();

struct RitzPair {
  std::complex<double> value;
  std::vector<std::complex<double>> coefficients;  // in the Krylov basis, unit norm
  double residual = 0;                             // ‖A x − λ x‖ by the Arnoldi relation
  double nearness = 0;                             // cosine of the angle to the target, or −|λ − λ*|
};

/// A Krylov space of A grown one vector a pass, A V = V H.
class Krylov {
 public:
  explicit Krylov(const LinearOperator& a) : a_(a), basis_(a.cols()) {}

  void start(std::span<const double> x) {
    DoubleMatrix row(1, a_.cols());
    std::ranges::copy(x, row.data());
    basis_ = Basis(a_.cols());
    basis_.append(std::move(row), 0);
    h_.clear();
  }

  /// One pass. False where the space is invariant.
  bool grow() {
    DoubleMatrix image = apply(basis_.rows(basis_.size() - 1, 1));
    norm_ = std::max(norm_, defectoscope::norm(image.row(0)));
    const DoubleMatrix column = basis_.append(std::move(image), kProductNoise * norm_);
    h_.emplace_back(column.row(0).begin(), column.row(0).end());
    return basis_.size() > static_cast<Index>(h_.size());
  }

  DoubleMatrix apply(ConstDoubleView x) {
    Matrix image(x.rows(), a_.rows());
    a_.apply(to_float(x), image);
    ++passes_;
    for (Index r = 0; r < image.rows(); ++r)
      for (const float value : image.row(r))
        if (!std::isfinite(value))
          throw_bad_input({.what = "a linear operator gave a value that is not finite",
                           .expected = "finite weights of moderate size",
                           .got = std::to_string(value)});
    return to_double(image.view());
  }

  std::vector<RitzPair> ritz_pairs() const {
    const auto k = static_cast<Index>(h_.size());
    DoubleMatrix h(k, k);
    for (Index j = 0; j < k; ++j) {
      const std::vector<double>& column = h_[static_cast<std::size_t>(j)];
      const Index length = std::min(k, static_cast<Index>(column.size()));
      for (Index i = 0; i < length; ++i) h(i, j) = column[static_cast<std::size_t>(i)];
    }
    const double beta = basis_.size() > k ? h_.back()[static_cast<std::size_t>(k)] : 0.0;
    const GeneralEigen eigen = lapack_eigen(h.view());
    std::vector<RitzPair> pairs(static_cast<std::size_t>(k));
    for (Index i = 0; i < k; ++i) {
      RitzPair& pair = pairs[static_cast<std::size_t>(i)];
      pair.value = eigen.values[static_cast<std::size_t>(i)];
      for (Index j = 0; j < k; ++j) pair.coefficients.emplace_back(eigen.re(i, j), eigen.im(i, j));
      pair.residual = beta * std::abs(pair.coefficients.back());
    }
    return pairs;
  }

  /// Real and imaginary part of a Ritz vector, [2, n].
  DoubleMatrix vector_of(const RitzPair& pair) const {
    const auto k = static_cast<Index>(pair.coefficients.size());
    DoubleMatrix c(2, k);
    for (Index j = 0; j < k; ++j) {
      c(0, j) = pair.coefficients[static_cast<std::size_t>(j)].real();
      c(1, j) = pair.coefficients[static_cast<std::size_t>(j)].imag();
    }
    return basis_.combine(c.view());
  }

  /// Coefficients of x in the basis, [size of H].
  std::vector<double> coordinates(std::span<const double> x) const {
    std::vector<double> out;
    for (Index j = 0; j < static_cast<Index>(h_.size()); ++j) out.push_back(dot(basis_.rows().row(j), x));
    return out;
  }

  Index size() const { return static_cast<Index>(h_.size()); }
  Index passes() const { return passes_; }
  double norm() const { return norm_; }

 private:
  const LinearOperator& a_;
  Basis basis_;
  std::vector<std::vector<double>> h_;  // columns, each as long as the basis was when it was made
  Index passes_ = 0;
  double norm_ = 0;
};

/// Cosine of the angle of the unit vector with coordinates g to span{Re x, Im x}.
double cosine_to_span(const RitzPair& pair, const std::vector<double>& g) {
  double rr = 0, ri = 0, ii = 0, gr = 0, gi = 0;
  for (std::size_t j = 0; j < g.size(); ++j) {
    const double re = pair.coefficients[j].real(), im = pair.coefficients[j].imag();
    rr += re * re;
    ri += re * im;
    ii += im * im;
    gr += g[j] * re;
    gi += g[j] * im;
  }
  double sum = gr * gr / rr;
  const double rest = ii - ri * ri / rr;
  if (rest > 1e-14) sum += std::pow(gi - gr * ri / rr, 2) / rest;
  return std::sqrt(sum);
}

bool proven(double residual, std::complex<double> value, double tolerance, double norm) {
  return residual <= std::max(tolerance * std::abs(value), kProductNoise * norm);
}

/// LAPACK's normalization, and of the two signs left the one with Re x · target ≥ 0.
void normalize(EigenPair& pair, std::span<const double> target) {
  std::size_t largest = 0;
  double most = 0, square = 0, along = 0;
  for (std::size_t j = 0; j < pair.re.size(); ++j) {
    const double size = std::norm(std::complex<double>(pair.re[j], pair.im[j]));
    square += size;
    if (size > most) most = size, largest = j;
  }
  if (square == 0) return;
  std::complex<double> turn = std::conj(std::complex<double>(pair.re[largest], pair.im[largest]));
  turn /= std::abs(turn) * std::sqrt(square);
  for (std::size_t j = 0; j < pair.re.size(); ++j) {
    const std::complex<double> x = turn * std::complex<double>(pair.re[j], pair.im[j]);
    pair.re[j] = x.real();
    pair.im[j] = x.imag();
    along += x.real() * target[j];
  }
  pair.im[largest] = 0;
  if (along < 0)
    for (std::size_t j = 0; j < pair.re.size(); ++j) pair.re[j] = -pair.re[j], pair.im[j] = -pair.im[j];
}

/// The pair with its value improved to xᴴAx and its residual measured, one pass.
EigenPair measure(Krylov& krylov, const RitzPair& ritz, std::span<const double> target, double tolerance) {
  EigenPair pair;
  DoubleMatrix x = krylov.vector_of(ritz);
  pair.re.assign(x.row(0).begin(), x.row(0).end());
  pair.im.assign(x.row(1).begin(), x.row(1).end());
  normalize(pair, target);
  std::ranges::copy(pair.re, x.row(0).begin());
  std::ranges::copy(pair.im, x.row(1).begin());
  const bool complex = ritz.value.imag() != 0;
  const DoubleMatrix y = krylov.apply(x.view().block_rows(0, complex ? 2 : 1));
  const auto at = [&](const DoubleMatrix& m, Index j) {
    return std::complex<double>(m(0, j), complex ? m(1, j) : 0.0);
  };
  for (Index j = 0; j < x.cols(); ++j) pair.value += std::conj(at(x, j)) * at(y, j);
  double sum = 0;
  for (Index j = 0; j < x.cols(); ++j) sum += std::norm(at(y, j) - pair.value * at(x, j));
  pair.residual = std::sqrt(sum);
  pair.certified = proven(pair.residual, pair.value, tolerance, krylov.norm());
  return pair;
}

/// The unit left eigenvector for `value`, by Arnoldi on Aᵀ from x; empty where it does not converge.
std::optional<double> condition_of(const LinearOperator& a, const EigenPair& pair,
                                   const ArnoldiOptions& options, Index* passes) {
  const TransposedOperator transpose(a);
  Krylov krylov(transpose);
  krylov.start(pair.re);
  std::optional<double> condition;
  while (krylov.passes() < options.max_passes && !condition) {
    const bool more = krylov.grow();
    const std::vector<RitzPair> ritz = krylov.ritz_pairs();
    const auto best =
        std::ranges::min_element(ritz, {}, [&](const RitzPair& r) { return std::abs(r.value - pair.value); });
    if (proven(best->residual, pair.value, options.tolerance, krylov.norm())) {
      // Aᵀ z = λ z makes conj(z) the left eigenvector: zᵀx = yᴴx.
      const DoubleMatrix z = krylov.vector_of(*best);
      std::complex<double> product = 0;
      for (Index j = 0; j < z.cols(); ++j) {
        const auto i = static_cast<std::size_t>(j);
        product += std::complex<double>(z(0, j), z(1, j)) * std::complex<double>(pair.re[i], pair.im[i]);
      }
      condition = 1 / std::max(std::abs(product), std::numeric_limits<double>::min());
    }
    if (!more) break;
  }
  *passes += krylov.passes();
  return condition;
}

}  // namespace

EigenPair nearest_eigenpair(const LinearOperator& a, std::span<const double> start,
                            const ArnoldiOptions& options) {
  const double length = norm(start);
  EigenPair result;
  result.re.assign(start.size(), 0);
  result.im.assign(start.size(), 0);
  if (length == 0) return result;
  std::vector<double> target(start.begin(), start.end());
  for (double& value : target) value /= length;

  Krylov krylov(a);
  krylov.start(target);
  double tried = std::numeric_limits<double>::infinity();
  while (true) {
    check_interrupt();
    const bool invariant = !krylov.grow();
    std::vector<RitzPair> pairs = krylov.ritz_pairs();
    const std::vector<double> g = krylov.coordinates(target);
    for (RitzPair& pair : pairs) pair.nearness = cosine_to_span(pair, g);
    const RitzPair* best = &*std::ranges::max_element(pairs, {}, &RitzPair::nearness);
    const bool spent = invariant || krylov.passes() + 2 > options.max_passes;
    const auto converged = [&](const RitzPair& pair) {
      return proven(pair.residual, pair.value, options.tolerance, krylov.norm());
    };
    if (spent && !converged(*best)) {
      for (const RitzPair& pair : pairs)
        if (converged(pair) && (!converged(*best) || pair.nearness > best->nearness)) best = &pair;
    }
    if (spent || (converged(*best) && best->residual <= 0.5 * tried)) {
      tried = best->residual;
      result = measure(krylov, *best, target, options.tolerance);
      if (result.certified || spent) break;
    }
    if (krylov.size() >= options.max_basis) {
      const DoubleMatrix x = krylov.vector_of(*best);
      // Of the plane span{Re x, Im x} the vector nearest to the target carries the search on.
      Basis plane(a.cols());
      plane.append(x, 1e-12);
      DoubleMatrix row(1, a.cols()), part(1, plane.size()), next(1, a.cols());
      std::ranges::copy(target, row.data());
      rows_by_rows(row.view(), plane.rows(), part.view());
      add_combination(1.0, part.view(), plane.rows(), next.view());
      krylov.start(next.row(0));
    }
  }
  result.passes = krylov.passes();
  if (options.measure_condition) result.condition = condition_of(a, result, options, &result.passes);
  return result;
}

}  // namespace defectoscope
