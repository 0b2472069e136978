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

void norm_rows(const ModelConfig& config, const NormWeights& norm, ConstMatrixView x, MatrixView out) {
  if (config.architecture->norm == NormKind::kRmsNorm) {
    rms_norm(x, norm.gain, config.norm_eps, out);
  } else {
    layer_norm(x, norm.gain, norm.shift, config.norm_eps, out);
  }
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
      norm_rows(config, norm, from, to);
    } else if (from.data() != to.data()) {
      for (Index i = 0; i < from.rows(); ++i)
        std::copy(from.row(i).begin(), from.row(i).end(), to.row(i).begin());
    }
  });
}

void apply_head_norm(const ModelConfig& config, const NormWeights& norm, MatrixView x) {
  if (!norm.defined()) return;
  if (static_cast<Index>(norm.gain.size()) == x.cols()) return apply_norm(config, norm, x, x);
  const Index heads = x.cols() / config.head_dim;
  parallel_ranges(x.rows(), rows_per_tile(x.cols()), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const MatrixView as_heads(x.row(row).data(), heads, config.head_dim);
      norm_rows(config, norm, as_heads, as_heads);
    }
  });
}

void add(ConstMatrixView branch, MatrixView states) {
  parallel_ranges(states.rows(), rows_per_tile(states.cols()), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const float* from = branch.row(row).data();
      float* to = states.row(row).data();
      for (Index i = 0; i < states.cols(); ++i) to[i] += from[i];
    }
  });
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
