// Two signatures of a 7B-shaped model (32 layers of width 4096, 1024 tokens) held against each other, related
// and not.
#include <benchmark/benchmark.h>

#include "base/parallel.h"
#include "lineage/compare.h"
#include "lineage/synthetic_signatures.h"

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
BENCHMARK(Unrelated)->Unit(benchmark::kMillisecond);
BENCHMARK(Related)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace defectoscope

BENCHMARK_MAIN();
