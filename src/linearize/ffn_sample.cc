#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/single_thread.h"
#include "kernels/convert.h"
#include "linearize/activation.h"
#include "linearize/ffn_fit.h"

namespace defectoscope {
namespace {

constexpr Index kHeld = 1 << 22;           // numbers held at a time: a chunk of samples and their outputs
constexpr Index kDrawTile = 64;            // samples drawn from one random stream
constexpr Index kSampledNeuronTile = 128;  // neurons one task computes

DoubleMatrix widened(const WeightMatrix& weight) {
  DoubleMatrix wide(weight.rows, weight.cols);
  std::vector<float> row(static_cast<std::size_t>(weight.cols));
  for (Index r = 0; r < weight.rows; ++r) {
    widen_rows(weight, r, 1, row.data(), weight.cols);
    std::ranges::copy(row, wide.row(r).begin());
  }
  return wide;
}

/// One of the FFN's input matrices with everything that precedes it: z ↦ M z + b with M = W · rms · diag(g) ·
/// P.
struct Stage {
  DoubleMatrix matrix;
  std::vector<double> bias;
};

Stage stage_of(const LinearWeights& linear, const FfnInput& input) {
  Stage stage{widened(linear.weight), {}};
  const Index d = stage.matrix.cols();
  for (Index j = 0; j < stage.matrix.rows(); ++j) {
    const std::span<double> row = stage.matrix.row(j);
    double bias = linear.bias.empty() ? 0.0 : static_cast<double>(linear.bias[static_cast<std::size_t>(j)]);
    double sum = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (!input.shift.empty()) bias += row[i] * input.shift[i];
      row[i] *= input.rms * (input.gain.empty() ? 1.0 : input.gain[i]);
      sum += row[i];
    }
    if (input.centred)
      for (double& value : row) value -= sum / static_cast<double>(d);
    stage.bias.push_back(bias);
  }
  return stage;
}

/// f [samples, neurons] for one chunk of draws z [samples, d]; a tile of neurons is one task.
void evaluate(const Stage& first, const Stage* second, const ModelConfig& config, const DoubleMatrix& z,
              Index count, DoubleMatrix& f) {
  const Index d = z.cols();
  const double clamp = config.ffn_clamp;
  parallel_ranges(first.matrix.rows(), kSampledNeuronTile, [&](Index begin, Index end) {
    const SingleThreadScope scope;
    const auto product = [&](const Stage& stage, double* out, Index stride) {
      cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(count),
                  static_cast<int>(end - begin), static_cast<int>(d), 1.0, z.data(), static_cast<int>(d),
                  stage.matrix.row(begin).data(), static_cast<int>(d), 0.0, out, static_cast<int>(stride));
    };
    product(first, f.data() + begin, f.cols());
    DoubleMatrix up(second == nullptr ? 0 : count, end - begin);
    if (second != nullptr) product(*second, up.data(), up.cols());
    for (Index s = 0; s < count; ++s)
      for (Index j = begin; j < end; ++j) {
        const auto at = static_cast<std::size_t>(j);
        double gate = f(s, j) + first.bias[at];
        if (clamp > 0 && second != nullptr) gate = std::min(gate, clamp);
        double value = activation_value(config.activation, gate);
        if (second != nullptr) {
          double other = up(s, j - begin) + second->bias[at];
          if (clamp > 0) other = std::clamp(other, -clamp, clamp);
          value *= other + config.architecture->up_offset;
        }
        f(s, j) = value;
      }
  });
}

/// Sums over samples: zzᵀ, z fᵀ, and the plain sums.
struct NormalEquations {
  DoubleMatrix gram;   ///< [d, d]
  DoubleMatrix cross;  ///< [ffn, d]
  std::vector<double> z_sum, f_sum;
};

void accumulate(const DoubleMatrix& x, const DoubleMatrix& z, Index count, DoubleMatrix& sums) {
  parallel_ranges(x.cols(), kSampledNeuronTile, [&](Index begin, Index end) {
    const SingleThreadScope scope;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(end - begin),
                static_cast<int>(z.cols()), static_cast<int>(count), 1.0, x.data() + begin,
                static_cast<int>(x.cols()), z.data(), static_cast<int>(z.cols()), 1.0, sums.row(begin).data(),
                static_cast<int>(sums.cols()));
  });
}

}  // namespace

SampledFit sample_ffn(const LayerWeights& layer, const ModelConfig& config, InputCovariance covariance,
                      Index samples, std::uint64_t seed) {
  return sample_ffn(layer, config, ffn_input(layer, config, covariance), samples, seed, true);
}

SampledFit sample_ffn(const LayerWeights& layer, const ModelConfig& config, const FfnInput& input,
                      Index samples, std::uint64_t seed, bool intercept) {
  const bool gated = layer.ffn.gate.weight.defined();
  const Stage first = stage_of(gated ? layer.ffn.gate : layer.ffn.up, input);
  const Stage second = gated ? stage_of(layer.ffn.up, input) : Stage{};
  const Index d = first.matrix.cols(), neurons = first.matrix.rows();
  if (samples <= d + 1)
    throw_bad_input({.what = "too few samples for a least-squares fit",
                     .expected = "more than " + std::to_string(d + 1) + " samples (hidden size + 1)",
                     .got = std::to_string(samples)});

  NormalEquations sums{DoubleMatrix(d, d), DoubleMatrix(neurons, d),
                       std::vector<double>(static_cast<std::size_t>(d)),
                       std::vector<double>(static_cast<std::size_t>(neurons))};
  const Index chunk = std::clamp<Index>(kHeld / (d + neurons) / kDrawTile, 1, 128) * kDrawTile;
  DoubleMatrix z(chunk, d), f(chunk, neurons);
  Progress progress("Sampling the FFN", samples);
  for (Index start = 0; start < samples; start += chunk) {
    const Index count = std::min(chunk, samples - start);
    parallel_ranges(count, kDrawTile, [&](Index begin, Index end) {
      Random random(seed, static_cast<std::uint64_t>((start + begin) / kDrawTile));
      for (Index s = begin; s < end; ++s)
        for (double& value : z.row(s)) value = random.normal();
    });
    evaluate(first, gated ? &second : nullptr, config, z, count, f);
    accumulate(z, z, count, sums.gram);
    accumulate(f, z, count, sums.cross);
    for (Index s = 0; s < count; ++s) {
      for (std::size_t i = 0; i < sums.z_sum.size(); ++i) sums.z_sum[i] += z(s, static_cast<Index>(i));
      for (std::size_t j = 0; j < sums.f_sum.size(); ++j) sums.f_sum[j] += f(s, static_cast<Index>(j));
    }
    progress.advance(count);
  }

  const auto n = static_cast<double>(samples);
  if (intercept) {
    for (Index i = 0; i < d; ++i)
      for (Index k = 0; k < d; ++k)
        sums.gram(i, k) -=
            sums.z_sum[static_cast<std::size_t>(i)] * sums.z_sum[static_cast<std::size_t>(k)] / n;
    for (Index j = 0; j < neurons; ++j)
      for (Index k = 0; k < d; ++k)
        sums.cross(j, k) -=
            sums.f_sum[static_cast<std::size_t>(j)] * sums.z_sum[static_cast<std::size_t>(k)] / n;
  }
  {
    // Rows of cross are right-hand sides, which LAPACK's column order sees as columns.
    const SingleThreadScope scope;
    const lapack_int info = LAPACKE_dposv(
        LAPACK_COL_MAJOR, 'U', static_cast<lapack_int>(d), static_cast<lapack_int>(neurons), sums.gram.data(),
        static_cast<lapack_int>(d), sums.cross.data(), static_cast<lapack_int>(d));
    if (info != 0)
      throw_bad_input(
          {.what = "the sampled least-squares fit has no unique solution or a value that is not finite",
           .tensor = layer.ffn.up.weight.name,
           .got = "dposv info = " + std::to_string(info),
           .hint = "use more samples, or the closed form"});
  }
  SampledFit fit{std::move(sums.cross), std::vector<double>(static_cast<std::size_t>(neurons), 0.0)};
  for (Index j = 0; j < neurons; ++j) {
    const std::span<double> row = fit.f1.row(j);
    if (intercept) {
      double along = 0;
      for (std::size_t i = 0; i < row.size(); ++i) along += row[i] * sums.z_sum[i];
      fit.mean[static_cast<std::size_t>(j)] = (sums.f_sum[static_cast<std::size_t>(j)] - along) / n;
    }
    // From z to x = T z with T = rms · diag(g) · P: F1 = M T⁺.
    double total = 0;
    for (const double value : row) total += value;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (input.centred) row[i] -= total / static_cast<double>(d);
      const double gain = input.rms * (input.gain.empty() ? 1.0 : input.gain[i]);
      row[i] = gain == 0 ? 0.0 : row[i] / gain;
    }
  }
  return fit;
}

}  // namespace defectoscope
