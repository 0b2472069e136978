// Two signatures of a 7B-shaped model (32 layers of width 4096, 1024 tokens) held against each other, related
// and not.
#include <benchmark/benchmark.h>

#include <cmath>

#include "base/parallel.h"
#include "base/random.h"
#include "lineage/compare.h"
#include "lineage/packed_rows.h"
#include "lineage/signature.h"

namespace defectoscope {
namespace {

Matrix unit_rows(Index rows, Index cols, std::uint64_t seed) {
  Matrix x(rows, cols);
  Random random(seed);
  for (Index i = 0; i < rows * cols; ++i) x.data()[i] = static_cast<float>(random.normal());
  make_rows_unit(x);
  return x;
}

Signature signature(std::uint64_t seed) {
  Signature s;
  s.fingerprint = s.model = std::to_string(seed);
  s.hidden_size = 4096;
  s.layers = 32;
  s.left = unit_rows(32, 4096, seed);
  s.ffn_left = unit_rows(32, 4096, seed + 1);
  s.singular_values = s.ffn_singular_values = s.decay_eigenvalues = unit_rows(32, 2, seed + 2);
  for (Index i = 0; i < 32; ++i)
    for (Index k = 0; k < 2; ++k)
      s.singular_values(i, k) = s.ffn_singular_values(i, k) = 2 + std::abs(s.decay_eigenvalues(i, k));
  for (std::uint64_t i = 0; i < 1024; ++i) s.token_hashes.push_back(i);
  s.token_left = unit_rows(32, 1024, seed + 3);
  s.token_ffn_left = unit_rows(32, 1024, seed + 4);
  s.token_dimension = 900;
  return s;
}

void run(benchmark::State& state, const Signature& a, const Signature& b) {
  set_thread_count(1);
  for (auto _ : state) benchmark::DoNotOptimize(compare(a, b).log_p);
}

void Unrelated(benchmark::State& state) { run(state, signature(1), signature(100)); }
void Related(benchmark::State& state) {
  const Signature a = signature(1);
  Signature b = a;
  b.fingerprint = "b";
  run(state, a, b);
}
BENCHMARK(Unrelated)->Unit(benchmark::kMillisecond);
BENCHMARK(Related)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace defectoscope

BENCHMARK_MAIN();
