// Two signatures of a 7B-shaped model (32 layers of width 4096, 1024 tokens) held against each other, related
// and not; two hidden spaces laid upon each other, at the widths and numbers of tokens that align_embeddings
// takes.
#include <benchmark/benchmark.h>

#include "base/parallel.h"
#include "lineage/compare.h"
#include "lineage/embedding_alignment.h"
#include "lineage/synthetic_signatures.h"
#include "spectral/basis.h"

namespace defectoscope {
namespace {

const synthetic::Shape kShape{.width = 4096, .layers = 32, .tokens = 1024};

void run(benchmark::State& state, const Signature& a, const Signature& b) {
  set_thread_count(1);
  for (auto _ : state) benchmark::DoNotOptimize(compare(a, b).log_p);
}

void Unrelated(benchmark::State& state) {
  run(state, synthetic::unrelated(kShape, 1), synthetic::unrelated(kShape, 100));
}
void Related(benchmark::State& state) {
  const Signature a = synthetic::unrelated(kShape, 1);
  Signature b = a;
  b.fingerprint = "b";
  run(state, a, b);
}
/// Embeddings of independent models, [tokens, width] each, random.
void Alignment(benchmark::State& state) {
  set_thread_count(1);
  const Index width = state.range(0), tokens = state.range(1);
  const DoubleMatrix a = random_block(tokens, width, 1, 0), b = random_block(tokens, width, 2, 0);
  for (auto _ : state) benchmark::DoNotOptimize(align_spaces(a, b, kAlignedWithout).fit);
}

BENCHMARK(Unrelated)->Unit(benchmark::kMillisecond);
BENCHMARK(Related)->Unit(benchmark::kMillisecond);
BENCHMARK(Alignment)
    ->ArgNames({"width", "tokens"})
    ->Args({1024, kAlignedTokens})
    ->Args({4096, kAlignedWidth})
    ->Args({8192, kAlignedWidth})
    ->Unit(benchmark::kSecond)
    ->Iterations(1);

}  // namespace
}  // namespace defectoscope

BENCHMARK_MAIN();
