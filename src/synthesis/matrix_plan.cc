#include "synthesis/matrix_plan.h"

#include <algorithm>
#include <memory>
#include <tuple>

#include "base/random.h"
#include "synthesis/bulk_normal.h"

namespace defectoscope {

StreamedTensor stream_matrix(MatrixPlan plan, DType dtype, std::uint64_t seed) {
  if (plan.transposed) {
    std::swap(plan.out, plan.in);
    std::swap(plan.out_scale, plan.in_scale);
    for (MatrixPlan::Entry& entry : plan.planted) std::swap(entry.out, entry.in);
  }
  std::sort(plan.planted.begin(), plan.planted.end(),
            [](const auto& a, const auto& b) { return std::tie(a.out, a.in) < std::tie(b.out, b.in); });
  const std::uint64_t stream = stream_of(plan.name.c_str());
  StreamedTensor tensor{plan.name, dtype, {plan.out, plan.in}, {}};
  tensor.fill = [matrix = std::make_shared<const MatrixPlan>(std::move(plan)), seed, stream](
                    Index begin, Index end, float* out) {
    const auto cols = static_cast<std::size_t>(matrix->in);
    auto next = std::lower_bound(matrix->planted.begin(), matrix->planted.end(), begin,
                                 [](const MatrixPlan::Entry& entry, Index row) { return entry.out < row; });
    for (Index row = begin; row < end; ++row, out += cols) {
      const float scale = matrix->out_scale[static_cast<std::size_t>(row)];
      if (scale == 0) {
        std::fill_n(out, cols, 0.0f);
      } else {
        fill_normal(seed, stream, row, {out, cols});
        const float* in_scale = matrix->in_scale.data();
        for (std::size_t i = 0; i < cols; ++i) out[i] *= scale * in_scale[i];
      }
      for (; next != matrix->planted.end() && next->out == row; ++next)
        out[next->in] = static_cast<float>(next->value);
    }
  };
  return tensor;
}

StreamedTensor stream_vector(std::string name, std::vector<float> values, DType dtype) {
  StreamedTensor tensor{std::move(name), dtype, {static_cast<Index>(values.size())}, {}};
  tensor.fill = [values = std::move(values)](Index, Index, float* out) {
    std::copy(values.begin(), values.end(), out);
  };
  return tensor;
}

}  // namespace defectoscope
