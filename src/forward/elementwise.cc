#include "forward/elementwise.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>

#include "base/parallel.h"
#include "kernels/pointwise.h"

namespace defectoscope {
namespace {

/// Rows of one parallel tile: enough values that a thread is worth waking.
Index rows_per_tile(Index cols) { return std::max<Index>(1, 32768 / std::max<Index>(1, cols)); }

void activate(Activation activation, std::span<float> x) {
  switch (activation) {
    case Activation::kSilu:
      return silu(x);
    case Activation::kGeluErf:
      return gelu_erf(x);
    case Activation::kGeluTanh:
      return gelu_tanh(x);
    case Activation::kQuickGelu:
      return quick_gelu(x);
    case Activation::kRelu:
      return relu(x);
    case Activation::kRelu2:
      return relu2(x);
  }
}

void norm_rows(const ModelConfig& config, std::span<const float> gain, std::span<const float> shift,
               ConstMatrixView x, MatrixView out) {
  if (config.architecture->norm == NormKind::kRmsNorm) {
    rms_norm(x, gain, config.norm_eps, out);
  } else {
    layer_norm(x, gain, shift, config.norm_eps, out);
  }
}

/// change(value) for every value of x.
template <typename Change>
void for_each_value(MatrixView x, Change change) {
  parallel_ranges(x.rows(), rows_per_tile(x.cols()), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row)
      for (float& value : x.row(row)) change(value);
  });
}

bool row_is_finite(std::span<const float> row) {
  // All exponent bits set: NaN or infinity. An integer test vectorizes and needs no branch per value.
  std::uint32_t bad = 0;
  for (const float value : row)
    bad |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(value) & 0x7f800000u) == 0x7f800000u);
  return bad == 0;
}

}  // namespace

void apply_norm(const ModelConfig& config, const NormWeights& norm, ConstMatrixView x, MatrixView out) {
  parallel_ranges(x.rows(), rows_per_tile(x.cols()), [&](Index begin, Index end) {
    const ConstMatrixView from = x.block_rows(begin, end - begin);
    const MatrixView to = out.block_rows(begin, end - begin);
    if (norm.defined()) {
      norm_rows(config, norm.gain, norm.shift, from, to);
    } else if (from.data() != to.data()) {
      for (Index i = 0; i < from.rows(); ++i)
        std::copy(from.row(i).begin(), from.row(i).end(), to.row(i).begin());
    }
  });
}

void apply_head_norm(const ModelConfig& config, const NormWeights& norm, MatrixView x) {
  if (!norm.defined()) return;
  if (config.qk_norm == QkNorm::kWholeWidth) return apply_norm(config, norm, x, x);
  const Index dim = config.head_dim, heads = x.cols() / dim;
  const bool own = config.qk_norm == QkNorm::kOwnPerHead;
  parallel_ranges(x.rows(), rows_per_tile(x.cols()), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      if (!own) {
        const MatrixView as_heads(x.row(row).data(), heads, dim);
        norm_rows(config, norm.gain, norm.shift, as_heads, as_heads);
        continue;
      }
      for (Index head = 0; head < heads; ++head) {
        const auto first = static_cast<std::size_t>(head * dim), count = static_cast<std::size_t>(dim);
        const MatrixView one(x.row(row).data() + first, 1, dim);
        const std::span<const float> shift(norm.shift);
        norm_rows(config, std::span(norm.gain).subspan(first, count),
                  shift.empty() ? shift : shift.subspan(first, count), one, one);
      }
    }
  });
}

void add(ConstMatrixView branch, MatrixView states, double scale) {
  const auto factor = static_cast<float>(scale);
  parallel_ranges(states.rows(), rows_per_tile(states.cols()), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const float* from = branch.row(row).data();
      float* to = states.row(row).data();
      for (Index i = 0; i < states.cols(); ++i) to[i] += factor * from[i];
    }
  });
}

void clip(MatrixView x, double limit) {
  if (limit == 0) return;
  const auto bound = static_cast<float>(limit);
  for_each_value(x, [bound](float& value) { value = std::clamp(value, -bound, bound); });
}

void soft_cap(MatrixView x, double cap) {
  if (cap == 0) return;
  const auto bound = static_cast<float>(cap);
  for_each_value(x, [bound](float& value) { value = bound * std::tanh(value / bound); });
}

void scale(MatrixView x, double factor) {
  if (factor == 1) return;
  const auto by = static_cast<float>(factor);
  for_each_value(x, [by](float& value) { value *= by; });
}

void activate(Activation activation, MatrixView x) {
  parallel_ranges(x.rows(), rows_per_tile(x.cols()), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) activate(activation, x.row(row));
  });
}

void activate_gated(const ModelConfig& config, MatrixView gate, ConstMatrixView up) {
  const auto limit = static_cast<float>(config.ffn_clamp);
  const auto offset = static_cast<float>(config.architecture->up_offset);
  parallel_ranges(gate.rows(), rows_per_tile(gate.cols()), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      if (limit > 0)
        for (float& value : gate.row(row)) value = std::min(value, limit);
      activate(config.activation, gate.row(row));
      const float* from = up.row(row).data();
      float* to = gate.row(row).data();
      if (limit > 0) {
        for (Index i = 0; i < gate.cols(); ++i) to[i] *= std::clamp(from[i], -limit, limit) + offset;
      } else {
        for (Index i = 0; i < gate.cols(); ++i) to[i] *= from[i] + offset;
      }
    }
  });
}

std::optional<Place> find_non_finite(ConstMatrixView x) {
  std::atomic<bool> finite = true;
  parallel_ranges(x.rows(), rows_per_tile(x.cols()), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      if (!row_is_finite(x.row(row))) finite = false;
    }
  });
  if (finite) return std::nullopt;
  for (Index row = 0; row < x.rows(); ++row) {
    for (Index column = 0; column < x.cols(); ++column) {
      if (!std::isfinite(x(row, column))) return Place{row, column};
    }
  }
  return std::nullopt;
}

}  // namespace defectoscope
