// Leading singular triplet of one 7B-shaped layer (bf16 weights, L = (I + F)(I + A)) with a planted direction
// of chosen gap σ1/σ2: passes, seconds, bytes read per second. The rival in the same process is what one
// writes without this library: single-vector Golub-Kahan-Lanczos with full reorthogonalization over the same
// matrices widened to f32, products by OpenBLAS's sgemv on all threads, to the same relative residual.
#include <cblas.h>
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <ctime>
#include <numeric>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "linearize/layer_operator.h"
#include "spectral/basis.h"
#include "spectral/singular.h"

namespace defectoscope {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Processor time of all threads: the fair measure on a machine that is busy otherwise, at one thread.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct Shape {
  Index d = 4096, ffn = 11008, heads = 32;
};

Tensor random_tensor(Index rows, Index cols, double spread, std::uint64_t seed) {
  const auto bytes = static_cast<std::size_t>(rows * cols * 2);
  std::shared_ptr<std::byte> memory(static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)),
                                    [](std::byte* p) { std::free(p); });
  parallel_for(rows, [&](Index r) {
    Random random(seed, static_cast<std::uint64_t>(r));
    std::vector<float> row(static_cast<std::size_t>(cols));
    for (float& value : row) value = static_cast<float>(spread * random.normal());
    convert_from_f32(DType::kBF16, row.data(), cols, memory.get() + r * cols * 2);
  });
  return {"random", DType::kBF16, {rows, cols}, memory.get(), memory};
}

/// A layer of random weights in which neuron 0 answers `right` with `strength` · `left`.
struct PlantedLayer {
  explicit PlantedLayer(const Shape& shape) : size(shape) {
    architecture.name = "bench";
    config.architecture = &architecture;
    config.hidden_size = shape.d;
    config.heads = config.kv_heads = shape.heads;
    config.head_dim = shape.d / shape.heads;
    config.ffn_size = shape.ffn;
    // At 7B: LLaMA's spread of 0.02.
    const double spread = 1.28 / std::sqrt(static_cast<double>(shape.d));
    const auto matrix = [&](Index rows, Index cols, std::uint64_t seed) {
      return LinearWeights{as_weight_matrix(random_tensor(rows, cols, spread, seed)), {}};
    };
    Random random(99);
    for (NormWeights* norm : {&weights.attention_norm, &weights.ffn_norm})
      for (Index i = 0; i < shape.d; ++i)
        norm->gain.push_back(static_cast<float>(0.4 + 0.05 * random.normal()));
    weights.attention.value = matrix(shape.d, shape.d, 1);
    weights.attention.output = matrix(shape.d, shape.d, 2);
    weights.ffn.gate = matrix(shape.ffn, shape.d, 3);
    weights.ffn.up = matrix(shape.ffn, shape.d, 4);
    weights.ffn.down = matrix(shape.d, shape.ffn, 5);
    left = random_block(1, shape.d, 6, 0);
    const double length = norm(left.row(0));
    for (double& value : left.row(0)) value /= length;
    for (Index i = 0; i < shape.d; ++i)  // gate and up read the same direction
      set(weights.ffn.up.weight, 0, i, weights.ffn.gate.weight.at(0, i));
  }

  void plant(double strength) {
    for (Index i = 0; i < size.d; ++i) set(weights.ffn.down.weight, i, 0, strength * left(0, i));
  }

  static void set(const WeightMatrix& weight, Index row, Index col, double value) {
    const auto narrow = static_cast<float>(value);
    convert_from_f32(DType::kBF16, &narrow, 1, const_cast<std::byte*>(weight.row_data(row)) + col * 2);
  }

  double bytes_per_pass() const {
    return 2.0 * static_cast<double>(2 * size.d * size.d + 3 * size.d * size.ffn);
  }

  Shape size;
  ArchitectureSpec architecture;
  ModelConfig config;
  LayerWeights weights;
  DoubleMatrix left;
};

/// Plants until σ1/σ2 of L is within 0.2 % of `ratio`.
void tune(PlantedLayer& layer, double ratio) {
  double strength = 20, previous = 0, previous_ratio = 1;
  for (int round = 0; round < 12; ++round) {
    layer.plant(strength);
    const LinearizedLayer linearized(layer.weights, layer.config, {});
    const SingularTriplets found =
        leading_singular(linearized.form(LinearForm::kLayer), {.tolerance = 1e-3, .others_tolerance = 3e-3});
    const double got = found.values[0] / found.values[1];
    if (std::abs(got / ratio - 1) < 2e-3) return;
    const double slope = (got - previous_ratio) / (strength - previous);
    const double next = got < 1.02 || slope <= 0 ? 1.6 * strength : strength + (ratio - got) / slope;
    if (got >= 1.02) previous = strength, previous_ratio = got;
    strength = std::max(next, 0.3 * strength);
  }
}

/// The rival: f32 copies, one vector, OpenBLAS.
class SgemvLayer {
 public:
  SgemvLayer(const PlantedLayer& layer, const FfnFit& fit) : d_(layer.size.d), ffn_(layer.size.ffn) {
    const auto widened = [](const WeightMatrix& weight) {
      Matrix out(weight.rows, weight.cols);
      parallel_for(weight.rows, [&](Index r) { weight.copy_row(r, out.row(r)); });
      return out;
    };
    value_ = widened(layer.weights.attention.value.weight);
    output_ = widened(layer.weights.attention.output.weight);
    gate_ = widened(layer.weights.ffn.gate.weight);
    up_ = widened(layer.weights.ffn.up.weight);
    down_ = widened(layer.weights.ffn.down.weight);
    alpha_.assign(fit.alpha.begin(), fit.alpha.end());
    beta_.assign(fit.beta.begin(), fit.beta.end());
    attention_gain_ = layer.weights.attention_norm.gain;
    ffn_gain_ = layer.weights.ffn_norm.gain;
  }

  using Vector = std::vector<float>;
  Vector apply(const Vector& x) const {
    Vector y = x, t = times(x, attention_gain_);
    t = gemv(output_, gemv(value_, t, false), false);
    add(y, t);
    t = times(y, ffn_gain_);
    Vector hidden = times(gemv(gate_, t, false), alpha_);
    add(hidden, times(gemv(up_, t, false), beta_));
    add(y, gemv(down_, hidden, false));
    return y;
  }
  Vector apply_transpose(const Vector& x) const {
    Vector y = x;
    const Vector hidden = gemv(down_, x, true);
    Vector t = gemv(gate_, times(hidden, alpha_), true);
    add(t, gemv(up_, times(hidden, beta_), true));
    add(y, times(t, ffn_gain_));
    Vector out = y;
    add(out, times(gemv(value_, gemv(output_, y, true), true), attention_gain_));
    return out;
  }
  double bytes_per_pass() const { return 4.0 * static_cast<double>(2 * d_ * d_ + 3 * d_ * ffn_); }

 private:
  static Vector gemv(const Matrix& a, const Vector& x, bool transpose) {
    Vector y(static_cast<std::size_t>(transpose ? a.cols() : a.rows()));
    cblas_sgemv(CblasRowMajor, transpose ? CblasTrans : CblasNoTrans, static_cast<int>(a.rows()),
                static_cast<int>(a.cols()), 1.0F, a.data(), static_cast<int>(a.cols()), x.data(), 1, 0.0F,
                y.data(), 1);
    return y;
  }
  static Vector times(const Vector& x, const Vector& w) {
    Vector y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * w[i];
    return y;
  }
  static void add(Vector& y, const Vector& x) {
    for (std::size_t i = 0; i < x.size(); ++i) y[i] += x[i];
  }
  Index d_, ffn_;
  Matrix value_, output_, gate_, up_, down_;
  Vector alpha_, beta_, attention_gain_, ffn_gain_;
};

struct RivalResult {
  double value = 0, residual = 0, seconds = 0, cpu = 0;
  Index passes = 0;
};

RivalResult lanczos(const SgemvLayer& layer, Index d, double tolerance, Index max_passes) {
  const auto start = Clock::now();
  const double cpu = processor_seconds();
  const auto as_vector = [d](ConstDoubleView row) {
    std::vector<float> x(static_cast<std::size_t>(d));
    std::ranges::transform(row.row(0), x.begin(), [](double v) { return static_cast<float>(v); });
    return x;
  };
  const auto as_row = [d](const std::vector<float>& x) {
    DoubleMatrix row(1, d);
    std::ranges::copy(x, row.data());
    return row;
  };
  Basis u(d), v(d);
  v.append(random_block(1, d, 0, 0), 0);
  std::vector<double> diagonal, upper;
  RivalResult result;
  while (result.passes + 2 <= max_passes) {
    const auto k = static_cast<Index>(diagonal.size());
    DoubleMatrix c = u.append(as_row(layer.apply(as_vector(v.rows(k, 1)))), 0);
    diagonal.push_back(c(0, k));
    c = v.append(as_row(layer.apply_transpose(as_vector(u.rows(k, 1)))), 0);
    upper.push_back(c(0, k + 1));
    result.passes += 2;
    DoubleMatrix b(k + 1, k + 1);
    for (Index i = 0; i <= k; ++i) {
      b(i, i) = diagonal[static_cast<std::size_t>(i)];
      if (i < k) b(i, i + 1) = upper[static_cast<std::size_t>(i)];
    }
    const SmallSvd svd = lapack_svd(b.view());
    result.value = svd.values[0];
    result.residual = upper.back() * std::abs(svd.left(0, k)) / svd.values[0];
    if (result.residual <= tolerance) break;
  }
  result.seconds = seconds_since(start);
  result.cpu = processor_seconds() - cpu;
  return result;
}

/// Bytes per second of summing a layer's weights, all threads: what the memory gives.
double memory_speed(const PlantedLayer& layer) {
  const WeightMatrix* matrices[] = {&layer.weights.ffn.gate.weight, &layer.weights.ffn.up.weight,
                                    &layer.weights.ffn.down.weight};
  double best = 0;
  for (int round = 0; round < 3; ++round) {
    const auto start = Clock::now();
    std::vector<std::uint64_t> sums(3 * 64);
    double bytes = 0;
    for (std::size_t m = 0; m < 3; ++m) {
      const auto words = static_cast<std::size_t>(matrices[m]->rows * matrices[m]->cols / 4);
      const auto* data = reinterpret_cast<const std::uint64_t*>(matrices[m]->data);
      bytes += 8.0 * static_cast<double>(words);
      parallel_for(64, [&](Index t) {
        const std::size_t begin = words * static_cast<std::size_t>(t) / 64;
        const std::size_t end = words * (static_cast<std::size_t>(t) + 1) / 64;
        sums[m * 64 + static_cast<std::size_t>(t)] =
            std::accumulate(data + begin, data + end, std::uint64_t{0});
      });
    }
    const double seconds = seconds_since(start);
    if (std::accumulate(sums.begin(), sums.end(), std::uint64_t{0}) != 1)
      best = std::max(best, bytes / seconds);
  }
  return best;
}

void run(const Shape& shape, const std::vector<double>& ratios, const SingularOptions& options, bool rival) {
  PlantedLayer layer(shape);
  fmt::print("layer d {} ffn {} heads {}, bf16, {:.0f} MB a pass, {} threads; memory reads {:.1f} GB/s\n",
             shape.d, shape.ffn, shape.heads, layer.bytes_per_pass() / 1e6, thread_count(),
             memory_speed(layer) / 1e9);
  for (const double ratio : ratios) {
    tune(layer, ratio);
    const auto fit_start = Clock::now();
    const LinearizedLayer linearized(layer.weights, layer.config, {});
    const double fit_seconds = seconds_since(fit_start);
    const LinearOperator& op = linearized.form(LinearForm::kLayer);
    const auto start = Clock::now();
    const double cpu_start = processor_seconds();
    const SingularTriplets found = leading_singular(op, options);
    const double seconds = seconds_since(start), cpu = processor_seconds() - cpu_start;
    fmt::print(
        "s1/s2 {:.3f} (asked {:.2f}): fit {:.2f} s; {} passes {:.2f} s (cpu {:.2f}) {:.1f} GB/s, residual "
        "{:.1e}, "
        "angle bound {:.4f} deg, converged {}\n",
        found.values[0] / found.values[1], ratio, fit_seconds, found.passes, seconds, cpu,
        static_cast<double>(found.passes) * layer.bytes_per_pass() / seconds / 1e9, found.residuals[0],
        found.angle_bound_degrees, found.converged);
    if (!rival) continue;
    const SgemvLayer copy(layer, linearized.fit());
    const RivalResult other = lanczos(copy, shape.d, 1e-5, 400);
    fmt::print(
        "  rival sgemv Lanczos: {} passes {:.2f} s (cpu {:.2f}) {:.1f} GB/s, residual {:.1e}, value {:.6f} "
        "against "
        "{:.6f}; "
        "rival/ours {:.2f} (cpu {:.2f})\n",
        other.passes, other.seconds, other.cpu,
        static_cast<double>(other.passes) * copy.bytes_per_pass() / other.seconds / 1e9, other.residual,
        other.value, found.values[0], other.seconds / seconds, other.cpu / cpu);
  }
}

void run_dense(Index d) {
  PlantedLayer layer({d, d * 43 / 16, 8});
  tune(layer, 1.2);
  const LinearizedLayer linearized(layer.weights, layer.config, {});
  const LinearOperator& op = linearized.form(LinearForm::kLayer);
  auto start = Clock::now();
  const SingularTriplets found = leading_singular(op, {});
  const double seconds = seconds_since(start);
  start = Clock::now();
  const DoubleMatrix matrix = form(op);
  const double forming = seconds_since(start);
  start = Clock::now();
  const DenseSvd exact = dense_svd(matrix);
  const double dense = seconds_since(start);
  fmt::print(
      "d {}: ours {:.3f} s ({} passes); forming L {:.3f} s + dgesdd {:.2f} s; value off by {:.1e}; "
      "dense/ours {:.0f}\n",
      d, seconds, found.passes, forming, dense, std::abs(found.values[0] / exact.values[0] - 1),
      (forming + dense) / seconds);
}

}  // namespace
}  // namespace defectoscope

int main(int argc, char** argv) {
  CLI::App app("Passes and seconds to the leading singular triplet of a 7B-shaped layer");
  defectoscope::Shape shape;
  std::vector<double> ratios = {1.2, 1.05, 2.0};
  defectoscope::SingularOptions options;
  bool no_rival = false;
  defectoscope::Index dense = 1024;
  int threads = 0;
  app.add_option("--d", shape.d, "hidden size");
  app.add_option("--ffn", shape.ffn, "FFN size");
  app.add_option("--heads", shape.heads, "attention heads");
  app.add_option("--ratio", ratios, "gaps s1/s2 to plant");
  app.add_option("--block", options.block, "vectors a pass");
  app.add_option("--others", options.others_tolerance, "relative residual asked of the second triplet");
  app.add_option("--dense", dense, "hidden size at which to compare with dgesdd (0: not)");
  app.add_option("--threads", threads, "threads (0: all)");
  app.add_flag("--no-rival", no_rival, "our own times only");
  CLI11_PARSE(app, argc, argv);
  if (threads > 0) defectoscope::set_thread_count(threads);
  defectoscope::run(shape, ratios, options, !no_rival);
  if (dense > 0) defectoscope::run_dense(dense);
}
