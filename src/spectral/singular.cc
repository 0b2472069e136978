#include "spectral/singular.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/progress.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

/// Directions shorter than this, relative to ‖A‖, are the operator's f32 noise.
constexpr double kNoise = 2.0 * std::numeric_limits<float>::epsilon();
constexpr std::uint64_t kCompletionStream = std::uint64_t{1} << 32;

void require_finite(const Matrix& x) {
  for (Index r = 0; r < x.rows(); ++r)
    for (const float value : x.row(r))
      if (!std::isfinite(value))
        throw_bad_input({.what = "a linear operator gave a value that is not finite",
                         .expected = "finite weights of moderate size",
                         .got = std::to_string(value)});
}

DoubleMatrix unit_rows(const Matrix& x) {
  require_finite(x);
  DoubleMatrix rows = to_double(x.view());
  for (Index r = 0; r < rows.rows(); ++r) {
    const double length = norm(rows.row(r));
    for (double& value : rows.row(r)) value = length > 0 ? value / length : 0;
  }
  return rows;
}

/// The growing factorization UᵀAV = B, with A·V[:j] in span U and Aᵀ·U in span V.
class GolubKahan {
 public:
  GolubKahan(const LinearOperator& a, const SingularOptions& options, Index count, Index block)
      : a_(a), options_(options), count_(count), block_(block), u_(a.rows()), v_(a.cols()) {}

  SingularTriplets run() {
    const Matrix likely = a_.likely_right_vectors(block_ / 2);
    if (likely.rows() > 0) v_.append(unit_rows(likely), 1e-3);
    v_.append(random_block(block_ - v_.size(), a_.cols(), options_.seed, 0), 0);
    const Index limit = std::max<Index>(4, options_.max_passes);
    double tried = std::numeric_limits<double>::infinity();
    double before = 0;
    while (true) {
      check_interrupt();
      const bool exhausted = !grow();
      const std::vector<double> estimates = estimate();
      // The measuring passes gain about what the last step gained.
      const double expected = estimates[0] * std::min(1.0, estimates[0] / before);
      before = estimates[0];
      bool good = expected <= 0.8 * options_.tolerance && estimates[0] <= 0.5 * tried;
      for (std::size_t i = 1; i < estimates.size(); ++i)
        good = good && estimates[i] <= options_.others_tolerance;
      const bool spent = passes_ + 4 > limit;
      if (exhausted || spent || good) {
        tried = estimates[0];
        SingularTriplets result = extract();
        if (result.converged || exhausted || passes_ + 4 > limit) return result;
      }
      if (v_.size() + block_ > options_.max_basis) restart();
    }
  }

 private:
  Matrix apply(ConstDoubleView x, bool transpose) {
    Matrix image(x.rows(), transpose ? a_.cols() : a_.rows());
    if (transpose)
      a_.apply_transpose(to_float(x), image);
    else
      a_.apply(to_float(x), image);
    ++passes_;
    require_finite(image);
    return image;
  }

  double drop() { return std::max(kNoise, std::min(1e-6, 0.05 * options_.tolerance)) * norm_; }

  /// One step: A on the newest right vectors, Aᵀ on the left ones that brings. False where the Krylov space
  /// is exhausted, so that the factorization is exact.
  bool grow() {
    const Index fresh = v_.size() - applied_, old_u = u_.size();
    DoubleMatrix image = to_double(apply(v_.rows(applied_, fresh), false));
    for (Index i = 0; i < fresh; ++i) norm_ = std::max(norm_, norm(image.row(i)));
    const DoubleMatrix column = u_.append(std::move(image), drop());
    resize_b(u_.size(), v_.size());
    for (Index j = 0; j < fresh; ++j)
      for (Index i = 0; i < column.cols(); ++i) b_(i, applied_ + j) = column(j, i);
    applied_ = v_.size();
    const Index fresh_u = u_.size() - old_u;
    if (fresh_u == 0) return false;

    image = to_double(apply(u_.rows(old_u, fresh_u), true));
    for (Index i = 0; i < fresh_u; ++i) norm_ = std::max(norm_, norm(image.row(i)));
    const DoubleMatrix row = v_.append(std::move(image), drop());
    resize_b(u_.size(), v_.size());
    for (Index i = 0; i < fresh_u; ++i)
      for (Index j = 0; j < row.cols(); ++j) b_(old_u + i, j) = row(i, j);
    return v_.size() > applied_;
  }

  /// Residuals / σ1 of the Ritz triplets from the right vectors that A was applied to: there A v = σ u holds,
  /// and Aᵀ u − σ v lies in the newest right vectors.
  std::vector<double> estimate() const {
    const Index k = u_.size(), fresh = v_.size() - applied_;
    DoubleMatrix gram(k, k);
    const ConstDoubleView square(b_.data(), k, applied_, b_.cols());
    rows_by_rows(square, square, gram.view());
    const SymmetricEigen top = lapack_top_symmetric(gram, count_);
    std::vector<double> estimates(static_cast<std::size_t>(count_), 0.0);
    const double scale = top.values.empty() ? 0 : std::sqrt(std::max(0.0, top.values[0]));
    if (scale == 0) return estimates;
    for (Index t = 0; t < top.vectors.rows(); ++t) {
      double sum = 0;
      for (Index j = 0; j < fresh; ++j) {
        double entry = 0;
        for (Index i = 0; i < k; ++i) entry += top.vectors(t, i) * b_(i, applied_ + j);
        sum += entry * entry;
      }
      estimates[static_cast<std::size_t>(t)] = std::sqrt(sum) / scale;
    }
    // Fewer Ritz triplets than wanted: only an exhausted space may stop there.
    for (Index t = top.vectors.rows(); t < count_; ++t) estimates[static_cast<std::size_t>(t)] = 1;
    return estimates;
  }

  /// Ritz vectors of the whole factorization, at least two for the gap, measured by two further passes.
  SingularTriplets extract() {
    const Index k = u_.size(), wanted = std::min(std::max<Index>(2, count_), std::min(a_.rows(), a_.cols()));
    const SmallSvd ritz = lapack_svd(ConstDoubleView(b_.data(), k, v_.size(), b_.cols()));
    const Index found = std::min(wanted, static_cast<Index>(ritz.values.size()));
    const DoubleMatrix v = complete(v_, ritz.right, found, wanted);
    DoubleMatrix u = complete(u_, ritz.left, found, wanted);

    const Matrix right = to_float(v.view());
    const DoubleMatrix image = to_double(apply(v.view(), false));
    std::vector<double> values(static_cast<std::size_t>(wanted));
    for (Index t = 0; t < wanted; ++t) {
      double& value = values[static_cast<std::size_t>(t)];
      value = norm(image.row(t));
      norm_ = std::max(norm_, value);
      if (value > 1e-6 * norm_)
        for (Index i = 0; i < u.cols(); ++i) u(t, i) = image(t, i) / value;
      else
        value = std::max(0.0, dot(u.row(t), image.row(t)));
    }
    const Matrix left = to_float(u.view());
    const DoubleMatrix back = to_double(apply(u.view(), true));

    SingularTriplets result;
    const double top = *std::ranges::max_element(values);
    std::vector<double> both(static_cast<std::size_t>(wanted), 0.0);
    std::vector<double> residuals(static_cast<std::size_t>(wanted), 0.0);
    for (Index t = 0; t < wanted; ++t) {
      const auto at = static_cast<std::size_t>(t);
      double r = 0, s = 0;
      for (Index i = 0; i < a_.rows(); ++i)
        r += std::pow(image(t, i) - values[at] * static_cast<double>(left(t, i)), 2);
      for (Index i = 0; i < a_.cols(); ++i)
        s += std::pow(back(t, i) - values[at] * static_cast<double>(right(t, i)), 2);
      both[at] = std::sqrt(r + s);
      residuals[at] = top > 0 ? std::sqrt(std::max(r, s)) / top : 0;
    }
    std::vector<Index> order(static_cast<std::size_t>(wanted));
    for (Index t = 0; t < wanted; ++t) order[static_cast<std::size_t>(t)] = t;
    std::ranges::stable_sort(order, [&](Index x, Index y) {
      return values[static_cast<std::size_t>(x)] > values[static_cast<std::size_t>(y)];
    });

    result.left = Matrix(count_, a_.rows());
    result.right = Matrix(count_, a_.cols());
    result.converged = true;
    for (Index t = 0; t < count_; ++t) {
      const Index from = order[static_cast<std::size_t>(t)];
      const auto at = static_cast<std::size_t>(from);
      result.values.push_back(values[at]);
      result.residuals.push_back(residuals[at]);
      std::ranges::copy(left.row(from), result.left.row(t).begin());
      std::ranges::copy(right.row(from), result.right.row(t).begin());
      result.converged =
          result.converged && residuals[at] <= (t == 0 ? options_.tolerance : options_.others_tolerance);
    }
    result.passes = passes_;
    const auto first = static_cast<std::size_t>(order[0]);
    const auto second = static_cast<std::size_t>(order.size() > 1 ? order[1] : order[0]);
    const double next = order.size() > 1 ? values[second] + both[second] : 0;
    const double gap = std::min(top, top - next);
    const double sine = gap > 0 ? (both[first] + 2 * kNoise * top) / gap : 1;
    result.angle_bound_degrees = sine < 1 ? std::asin(sine) * 180 / std::numbers::pi : 90;
    return result;
  }

  /// The first `found` Ritz vectors, filled up to `wanted` with random ones orthogonal to them: where the
  /// space is exhausted, A is zero on what is left.
  DoubleMatrix complete(const Basis& basis, const DoubleMatrix& coefficients, Index found,
                        Index wanted) const {
    Basis out(basis.length());
    out.append(basis.combine(coefficients.view().block_rows(0, found)), 0);
    out.append(random_block(wanted - found, basis.length(), options_.seed, kCompletionStream), 0);
    DoubleMatrix rows(wanted, basis.length());
    std::copy_n(out.rows().data(), out.size() * basis.length(), rows.data());
    return rows;
  }

  /// Keeps the leading Ritz vectors and the newest right ones: B becomes diag(σ) beside their coupling.
  void restart() {
    const Index fresh = v_.size() - applied_;
    const SmallSvd ritz = lapack_svd(ConstDoubleView(b_.data(), u_.size(), applied_, b_.cols()));
    const Index keep = std::min(static_cast<Index>(ritz.values.size()), options_.max_basis / 2);
    const ConstDoubleView x = ritz.left.view().block_rows(0, keep);
    DoubleMatrix b(keep, keep + fresh);
    for (Index i = 0; i < keep; ++i) {
      b(i, i) = ritz.values[static_cast<std::size_t>(i)];
      for (Index j = 0; j < fresh; ++j)
        for (Index k = 0; k < u_.size(); ++k) b(i, keep + j) += x(i, k) * b_(k, applied_ + j);
    }
    DoubleMatrix v(keep + fresh, a_.cols());
    const DoubleMatrix kept = v_.combine(ritz.right.view().block_rows(0, keep));
    std::copy_n(kept.data(), keep * a_.cols(), v.data());
    std::copy_n(v_.rows(applied_, fresh).data(), fresh * a_.cols(), v.data() + keep * a_.cols());
    u_.reset(u_.combine(x));
    v_.reset(std::move(v));
    b_ = std::move(b);
    applied_ = keep;
  }

  void resize_b(Index rows, Index cols) {
    if (rows <= b_.rows() && cols <= b_.cols()) return;
    DoubleMatrix larger(std::max(rows, b_.rows()), std::max(cols, b_.cols()));
    for (Index r = 0; r < b_.rows(); ++r) std::ranges::copy(b_.row(r), larger.row(r).begin());
    b_ = std::move(larger);
  }

  const LinearOperator& a_;
  const SingularOptions& options_;
  Index count_, block_;
  Basis u_, v_;
  DoubleMatrix b_;     // UᵀAV, at least [u.size, v.size]
  Index applied_ = 0;  // right vectors that A was applied to
  double norm_ = 0;    // largest ‖A x‖ seen, a lower bound of σ1
  Index passes_ = 0;
};

}  // namespace

SingularTriplets leading_singular(const LinearOperator& a, const SingularOptions& options) {
  const Index least = std::min(a.rows(), a.cols());
  const Index count = std::clamp<Index>(options.count, 1, std::max<Index>(1, least));
  if (least == 0) {
    SingularTriplets nothing;
    nothing.converged = true;
    return nothing;
  }
  const Index block = std::clamp<Index>(std::max(options.block, count + 1), 1, least);
  return GolubKahan(a, options, count, block).run();
}

}  // namespace defectoscope
