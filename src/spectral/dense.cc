#include <algorithm>
#include <cmath>
#include <utility>

#include "spectral/basis.h"
#include "spectral/eigen.h"
#include "spectral/singular.h"

namespace defectoscope {

DenseSvd dense_svd(const DoubleMatrix& a) {
  SmallSvd svd = lapack_svd(a.view());
  return {std::move(svd.values), std::move(svd.left), std::move(svd.right)};
}

std::vector<EigenPair> dense_eigenpairs(const DoubleMatrix& a) {
  const Index n = a.rows();
  const GeneralEigen eigen = lapack_eigen(a.view());
  DoubleMatrix re_image(n, n), im_image(n, n);
  rows_by_rows(eigen.re.view(), a.view(), re_image.view());
  rows_by_rows(eigen.im.view(), a.view(), im_image.view());
  std::vector<EigenPair> pairs(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) {
    EigenPair& pair = pairs[static_cast<std::size_t>(i)];
    pair.value = eigen.values[static_cast<std::size_t>(i)];
    pair.re.assign(eigen.re.row(i).begin(), eigen.re.row(i).end());
    pair.im.assign(eigen.im.row(i).begin(), eigen.im.row(i).end());
    double sum = 0;
    for (Index k = 0; k < n; ++k) {
      const std::complex<double> x(eigen.re(i, k), eigen.im(i, k)), y(re_image(i, k), im_image(i, k));
      sum += std::norm(y - pair.value * x);
    }
    pair.residual = std::sqrt(sum);
    pair.certified = pair.residual <= kCertifiedResidual * std::abs(pair.value);
  }
  return pairs;
}

}  // namespace defectoscope
