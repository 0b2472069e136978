// How fast the kernels are, with oneDNN's own multi-threaded product as the rival in the same process.
//   kernels_bench --benchmark_filter=Linear
// Every case runs five times; read the median, and `best` (of the rates) on a machine that is busy otherwise.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/attention.h"
#include "kernels/block_apply.h"
#include "kernels/gemm.h"
#include "kernels/pointwise.h"

namespace defectoscope {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

Matrix random_matrix(Index rows, Index cols) {
  Matrix result(rows, cols);
  Random random(1);
  for (Index i = 0; i < rows * cols; ++i) result.data()[i] = static_cast<float>(random.uniform()) - 0.5f;
  return result;
}

WeightMatrix random_weight(Index rows, Index cols, DType dtype) {
  return make_weight_matrix(random_matrix(rows, cols), dtype, "weight");
}

void report(benchmark::State& state, double flops, double bytes) {
  const auto rate = [](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate,
                              benchmark::Counter::OneK::kIs1000);
  };
  if (flops > 0) state.counters["flop/s"] = rate(flops);
  if (bytes > 0) state.counters["B/s"] = rate(bytes);
}

std::string label(DType type) { return std::string(dtype_name(type)); }

/// range: rows, cols, k, dtype, transposed.
void block_apply_bench(benchmark::State& state) {
  const Index rows = state.range(0), cols = state.range(1), k = state.range(2);
  const DType type = kTypes[state.range(3)];
  const bool transpose = state.range(4) != 0;
  const WeightMatrix weight = random_weight(rows, cols, type);
  const Matrix x = random_matrix(k, transpose ? rows : cols);
  Matrix y(k, transpose ? cols : rows);
  for (auto _ : state) transpose ? block_apply_transpose(weight, x, y) : block_apply(weight, x, y);
  const auto entries = static_cast<double>(rows * cols);
  report(state, 2 * entries * static_cast<double>(k), entries * static_cast<double>(dtype_size(type)));
  state.SetLabel(label(type) + (transpose ? " transposed" : ""));
}

/// Reads as block_apply does and computes next to nothing: what the memory gives.
void read_bench(benchmark::State& state) {
  const WeightMatrix weight = random_weight(11008, 4096, DType::kBF16);
  const Index bytes = weight.rows * weight.cols * 2;
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(bytes >> 18) + 1);
  for (auto _ : state)
    parallel_ranges(bytes / 8, 1 << 15, [&](Index begin, Index end) {
      const auto* words = reinterpret_cast<const std::uint64_t*>(weight.data);
      std::uint64_t sum = 0;
      for (Index i = begin; i < end; ++i) sum ^= words[i];
      sums[static_cast<std::size_t>(begin >> 15)] = sum;
    });
  benchmark::DoNotOptimize(sums.data());
  report(state, 0, static_cast<double>(bytes));
}

/// range: out, in, dtype.
void row_moments_bench(benchmark::State& state) {
  const Index rows = state.range(0), cols = state.range(1);
  const DType type = kTypes[state.range(2)];
  const WeightMatrix gate = random_weight(rows, cols, type), up = random_weight(rows, cols, type);
  const std::vector<double> metric(static_cast<std::size_t>(cols), 1.5);
  for (auto _ : state) benchmark::DoNotOptimize(row_moments(gate, &up, metric, metric));
  report(state, 0, static_cast<double>(2 * rows * cols * dtype_size(type)));
  state.SetLabel(label(type));
}

/// range: m, out, in, weight dtype, bf16 products.
void linear_bench(benchmark::State& state) {
  const Index m = state.range(0), out = state.range(1), in = state.range(2);
  const DType type = kTypes[state.range(3)];
  const WeightMatrix weight = random_weight(out, in, type);
  const Matrix x = random_matrix(m, in);
  Matrix y(m, out);
  const ComputeType compute = state.range(4) != 0 ? ComputeType::kBF16 : ComputeType::kF32;
  for (auto _ : state) linear(weight, {}, x, y, compute);
  const auto entries = static_cast<double>(out * in);
  report(state, 2 * entries * static_cast<double>(m),
         m <= 32 ? entries * static_cast<double>(dtype_size(type)) : 0);
  state.SetLabel(label(type) + " weights, " + (state.range(4) != 0 ? "bf16" : "f32") + " products");
}

/// oneDNN's matmul over all threads, inputs and weights in one type already, weights as they lie.
void onednn_bench(benchmark::State& state) {
  using dnnl::memory;
  const Index m = state.range(0), out = state.range(1), in = state.range(2);
  const bool bf16 = state.range(3) != 0;
  const DType dtype = bf16 ? DType::kBF16 : DType::kF32;
  const auto type = bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const WeightMatrix weight = random_weight(out, in, dtype), input = random_weight(m, in, dtype);
  Matrix y(m, out);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc x_desc({m, in}, type, memory::format_tag::ab),
      w_desc({in, out}, type, memory::format_tag::ba);
  const memory::desc y_desc({m, out}, memory::data_type::f32, memory::format_tag::ab);
  const dnnl::matmul product({dnnl::matmul::desc(x_desc, w_desc, y_desc), engine});
  const auto wrap = [&](const memory::desc& desc, const void* data) {
    return memory(desc, engine, const_cast<void*>(data));
  };
  for (auto _ : state) {
    product.execute(stream, {{DNNL_ARG_SRC, wrap(x_desc, input.data)},
                             {DNNL_ARG_WEIGHTS, wrap(w_desc, weight.data)},
                             {DNNL_ARG_DST, wrap(y_desc, y.data())}});
    stream.wait();
  }
  report(state, 2 * static_cast<double>(m) * static_cast<double>(out) * static_cast<double>(in), 0);
  state.SetLabel(bf16 ? "bf16" : "f32");
}

/// range: tokens, heads, kv_heads, received wanted. Counts the products of the causal half alone.
void attention_bench(benchmark::State& state) {
  const Index tokens = state.range(0), heads = state.range(1), kv_heads = state.range(2), dim = 128;
  const Matrix q = random_matrix(tokens, heads * dim), k = random_matrix(tokens, kv_heads * dim);
  Matrix out(tokens, heads * dim);
  std::vector<float> received(state.range(3) != 0 ? static_cast<std::size_t>(tokens) : 0);
  const AttentionParameters parameters{
      .heads = heads, .kv_heads = kv_heads, .head_dim = dim, .scale = 0.088f};
  for (auto _ : state) attention(parameters, q, k, k, out, received);
  const auto t = static_cast<double>(tokens);
  report(state, 4 * t * (t + 1) / 2 * static_cast<double>(heads * dim), 0);
}

/// range: rows, cols.
template <void (*kFunction)(std::span<float>)>
void elementwise_bench(benchmark::State& state) {
  Matrix x = random_matrix(state.range(0), state.range(1));
  for (auto _ : state) kFunction({x.data(), static_cast<std::size_t>(x.rows() * x.cols())});
  report(state, 0, static_cast<double>(x.rows() * x.cols() * 8));
}

void rms_norm_bench(benchmark::State& state) {
  const Matrix x = random_matrix(state.range(0), state.range(1));
  Matrix out(x.rows(), x.cols());
  for (auto _ : state) rms_norm(x, x.row(0), 1e-5, out);
  report(state, 0, static_cast<double>(x.rows() * x.cols() * 8));
}

void softmax_bench(benchmark::State& state) {
  Matrix x = random_matrix(1, state.range(0));
  for (auto _ : state) softmax(x.row(0));
  report(state, 0, static_cast<double>(x.cols() * 8));
}

double best(const std::vector<double>& values) { return *std::max_element(values.begin(), values.end()); }

void common(benchmark::internal::Benchmark* b) {
  b->UseRealTime()
      ->Unit(benchmark::kMillisecond)
      ->Repetitions(5)
      ->ReportAggregatesOnly()
      ->ComputeStatistics("best", best);
}

void block_apply_cases(benchmark::internal::Benchmark* b) {
  for (const int transpose : {0, 1})
    for (const int type : {2, 1, 0})
      for (const int k : {1, 4, 8, 16, 32}) b->Args({4096, 11008, k, type, transpose});
  b->Args({11008, 4096, 8, 2, 0})
      ->Args({11008, 4096, 8, 2, 1})
      ->Args({4096, 4096, 8, 2, 0})
      ->Args({4096, 4096, 8, 2, 1});
  common(b);
}

void linear_cases(benchmark::internal::Benchmark* b) {
  for (const int m : {512, 2048})
    for (const auto& [out, in] : {std::pair{4096, 4096}, {11008, 4096}, {4096, 11008}})
      b->Args({m, out, in, 2, 1});
  for (const int type : {0, 1}) b->Args({512, 4096, 4096, type, 1});
  for (const int type : {0, 1, 2}) b->Args({512, 4096, 4096, type, 0});
  for (const int m : {1, 2, 4, 8, 9, 16, 32, 64, 128}) b->Args({m, 4096, 4096, 2, 1});
  common(b);
}

void onednn_cases(benchmark::internal::Benchmark* b) {
  for (const int m : {512, 2048})
    for (const auto& [out, in] : {std::pair{4096, 4096}, {11008, 4096}, {4096, 11008}})
      b->Args({m, out, in, 1});
  b->Args({512, 4096, 4096, 0});
  common(b);
}

BENCHMARK(read_bench)->Name("Read")->Apply(common);
BENCHMARK(block_apply_bench)->Name("BlockApply")->Apply(block_apply_cases);
BENCHMARK(row_moments_bench)
    ->Name("RowMoments")
    ->Args({11008, 4096, 2})
    ->Args({11008, 4096, 1})
    ->Apply(common);
BENCHMARK(linear_bench)->Name("Linear")->Apply(linear_cases);
BENCHMARK(onednn_bench)->Name("OneDnn")->Apply(onednn_cases);
BENCHMARK(attention_bench)
    ->Name("Attention")
    ->Args({512, 32, 32, 0})
    ->Args({2048, 32, 32, 0})
    ->Args({2048, 32, 8, 0})
    ->Args({2048, 32, 32, 1})
    ->Apply(common);
BENCHMARK(elementwise_bench<silu>)->Name("Silu")->Args({512, 11008})->Apply(common);
BENCHMARK(elementwise_bench<gelu_erf>)->Name("GeluErf")->Args({512, 11008})->Apply(common);
BENCHMARK(elementwise_bench<gelu_tanh>)->Name("GeluTanh")->Args({512, 11008})->Apply(common);
BENCHMARK(rms_norm_bench)->Name("RmsNorm")->Args({512, 4096})->Apply(common);
BENCHMARK(softmax_bench)->Name("Softmax")->Args({2048})->Apply(common);

}  // namespace
}  // namespace defectoscope

BENCHMARK_MAIN();
