#include "spectral/lapack.h"

#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "base/single_thread.h"

namespace defectoscope {
namespace {

constexpr Index kRowTile = 32;
constexpr Index kColumnTile = 1024;

/// Fewer operations than this are done before other threads have woken up.
constexpr double kWorthThreads = 2e6;

/// parallel_ranges, or the same ranges one after another where there is little to do: the same bytes.
template <typename Body>
void over_ranges(Index count, Index grain, double operations, Body body) {
  if (operations >= kWorthThreads) return parallel_ranges(count, grain, body);
  for (Index begin = 0; begin < count; begin += grain) body(begin, std::min(count, begin + grain));
}

double operations_of(Index m, Index n, Index k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

int blas_int(Index value) { return static_cast<int>(value); }

void require_finite(ConstDoubleView a) {
  for (Index r = 0; r < a.rows(); ++r)
    for (const double value : a.row(r))
      if (!std::isfinite(value))
        throw_bad_input({.what = "a matrix to be decomposed holds a value that is not finite",
                         .expected = "finite weights",
                         .got = std::to_string(value) + " in row " + std::to_string(r)});
}

[[noreturn]] void fail(const std::string& routine, lapack_int info) {
  throw_bad_input({.what = "LAPACK's " + routine + " did not converge",
                   .got = "info = " + std::to_string(info),
                   .hint = "use the iterative method (leave out --exact)"});
}

}  // namespace

void rows_by_rows(ConstDoubleView a, ConstDoubleView b, DoubleView c) {
  if (a.rows() == 0 || b.rows() == 0) return;
  const SingleThreadScope serial;
  over_ranges(b.rows(), kRowTile, operations_of(a.rows(), b.rows(), a.cols()), [&](Index begin, Index end) {
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas_int(a.rows()), blas_int(end - begin),
                blas_int(a.cols()), 1.0, a.data(), blas_int(a.stride()), b.row(begin).data(),
                blas_int(b.stride()), 0.0, c.data() + begin, blas_int(c.stride()));
  });
}

void add_combination(double scale, ConstDoubleView c, ConstDoubleView b, DoubleView y) {
  if (c.rows() == 0 || b.rows() == 0) return;
  const SingleThreadScope serial;
  over_ranges(
      y.cols(), kColumnTile, operations_of(c.rows(), y.cols(), b.rows()), [&](Index begin, Index end) {
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas_int(c.rows()), blas_int(end - begin),
                    blas_int(b.rows()), scale, c.data(), blas_int(c.stride()), b.data() + begin,
                    blas_int(b.stride()), 1.0, y.data() + begin, blas_int(y.stride()));
      });
}

SmallSvd lapack_svd(ConstDoubleView a) {
  const Index rows = a.rows(), cols = a.cols(), min = std::min(rows, cols);
  SmallSvd svd{std::vector<double>(static_cast<std::size_t>(min)), DoubleMatrix(min, rows),
               DoubleMatrix(min, cols)};
  if (min == 0) return svd;
  require_finite(a);
  const SingleThreadScope serial;
  // LAPACK sees aᵀ [cols, rows] in its column order: its left vectors are our right ones.
  DoubleMatrix work(a);
  DoubleMatrix vt(rows, min);
  lapack_int info =
      LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', blas_int(cols), blas_int(rows), work.data(), blas_int(cols),
                     svd.values.data(), svd.right.data(), blas_int(cols), vt.data(), blas_int(min));
  if (info > 0) {
    work = DoubleMatrix(a);
    std::vector<double> superdiagonal(static_cast<std::size_t>(min));
    info = LAPACKE_dgesvd(LAPACK_COL_MAJOR, 'S', 'S', blas_int(cols), blas_int(rows), work.data(),
                          blas_int(cols), svd.values.data(), svd.right.data(), blas_int(cols), vt.data(),
                          blas_int(min), superdiagonal.data());
  }
  if (info != 0) fail("dgesvd", info);
  for (Index i = 0; i < min; ++i)
    for (Index r = 0; r < rows; ++r) svd.left(i, r) = vt(r, i);
  return svd;
}

SymmetricEigen lapack_top_symmetric(const DoubleMatrix& a, Index count) {
  const Index n = a.rows();
  count = std::min(count, n);
  SymmetricEigen eigen{std::vector<double>(static_cast<std::size_t>(count)), DoubleMatrix(count, n)};
  if (count == 0) return eigen;
  require_finite(a);
  const SingleThreadScope serial;
  DoubleMatrix work = a;
  std::vector<double> values(static_cast<std::size_t>(n));
  DoubleMatrix vectors(count, n);
  std::vector<lapack_int> support(static_cast<std::size_t>(2 * n));
  lapack_int found = 0;
  const lapack_int info = LAPACKE_dsyevr(LAPACK_COL_MAJOR, 'V', 'I', 'U', blas_int(n), work.data(),
                                         blas_int(n), 0, 0, blas_int(n - count + 1), blas_int(n), 0, &found,
                                         values.data(), vectors.data(), blas_int(n), support.data());
  if (info != 0 || found != count) fail("dsyevr", info);
  for (Index i = 0; i < count; ++i) {
    eigen.values[static_cast<std::size_t>(i)] = values[static_cast<std::size_t>(count - 1 - i)];
    std::ranges::copy(vectors.row(count - 1 - i), eigen.vectors.row(i).begin());
  }
  return eigen;
}

GeneralEigen lapack_eigen(ConstDoubleView a) {
  const Index n = a.rows();
  const auto size = static_cast<std::size_t>(n);
  GeneralEigen eigen{std::vector<std::complex<double>>(size), DoubleMatrix(n, n), DoubleMatrix(n, n)};
  if (n == 0) return eigen;
  require_finite(a);
  const SingleThreadScope serial;
  DoubleMatrix work(n, n);  // aᵀ row-major is a in LAPACK's column order
  for (Index r = 0; r < n; ++r)
    for (Index c = 0; c < n; ++c) work(c, r) = a(r, c);
  std::vector<double> re(size), im(size);
  DoubleMatrix vectors(n, n);
  const lapack_int info = LAPACKE_dgeev(LAPACK_COL_MAJOR, 'N', 'V', blas_int(n), work.data(), blas_int(n),
                                        re.data(), im.data(), nullptr, 1, vectors.data(), blas_int(n));
  if (info != 0) fail("dgeev", info);
  for (Index i = 0; i < n; ++i) {
    const auto at = static_cast<std::size_t>(i);
    eigen.values[at] = {re[at], im[at]};
    std::ranges::copy(vectors.row(i), eigen.re.row(i).begin());
    if (im[at] == 0 || i + 1 == n) continue;
    // A conjugate pair is stored as real and imaginary part of its first member.
    std::ranges::copy(vectors.row(i), eigen.re.row(i + 1).begin());
    for (Index k = 0; k < n; ++k) {
      eigen.im(i, k) = vectors(i + 1, k);
      eigen.im(i + 1, k) = -vectors(i + 1, k);
    }
    eigen.values[at + 1] = {re[at + 1], im[at + 1]};
    ++i;
  }
  return eigen;
}

}  // namespace defectoscope
