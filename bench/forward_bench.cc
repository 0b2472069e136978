// Speed of the forward pass at a chosen shape, weights generated: tokens per second and GFLOP/s of its
// matmuls.
//   forward_bench --hidden 4096 --ffn 11008 --heads 32 --kv-heads 32 --layers 2 --tokens 2048 --compute bf16
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <ctime>

#include "base/parallel.h"
#include "forward/transformer.h"
#include "generated_llama.h"

namespace defectoscope {
namespace {

struct Options {
  Index hidden = 4096, ffn = 11008, heads = 32, kv_heads = 32, layers = 2;
  Index tokens = 2048, length = 512, repeats = 3, decode = 0;
  int threads = 0;
  std::string compute = "bf16", weights = "bf16";
};

struct Seconds {
  double wall = 1e300;
  double cpu = 1e300;  ///< of all threads together: what a busy machine cannot spoil as much
};

Seconds seconds_of(const std::function<void()>& work, Index repeats) {
  Seconds best;
  for (Index i = 0; i <= repeats; ++i) {  // the first is a warm-up
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i == 0) continue;
    best.wall = std::min(best.wall, took.count());
    best.cpu = std::min(best.cpu, static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC);
  }
  return best;
}

Batch make_batch(const Options& options) {
  std::vector<TokenIds> sequences;
  for (Index left = options.tokens; left > 0; left -= options.length) {
    TokenIds& sequence = sequences.emplace_back();
    for (Index i = 0; i < std::min(left, options.length); ++i)
      sequence.push_back(static_cast<std::int32_t>((i * 37 + left) % 512));
  }
  return Batch(std::move(sequences));
}

/// A dense Linear that adds its CPU time to a sum.
class TimedLinear final : public Linear {
 public:
  TimedLinear(std::unique_ptr<Linear> inner, double& cpu) : inner_(std::move(inner)), cpu_(cpu) {}
  void apply_at(ConstMatrixView x, std::span<const Index> places, MatrixView y) const override {
    const std::clock_t start = std::clock();
    inner_->apply_at(x, places, y);
    cpu_ += static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  }

 private:
  std::unique_ptr<Linear> inner_;
  double& cpu_;
};

int run(const Options& options) {
  if (options.threads > 0) set_thread_count(options.threads);
  const DType dtype = options.weights == "f32"   ? DType::kF32
                      : options.weights == "f16" ? DType::kF16
                                                 : DType::kBF16;
  const Model model = generated_llama({.hidden_size = options.hidden,
                                       .ffn_size = options.ffn,
                                       .heads = options.heads,
                                       .kv_heads = options.kv_heads,
                                       .layers = options.layers},
                                      dtype);
  const ModelConfig& config = model.config();
  const ComputeType compute = options.compute == "f32" ? ComputeType::kF32 : ComputeType::kBF16;
  double linear_cpu = 0;
  const Transformer transformer(
      model, {.compute = compute, .linear = [&](ModuleId, const LinearWeights& weights) {
                return std::make_unique<TimedLinear>(make_dense_linear(weights, compute), linear_cpu);
              }});
  const Batch batch = make_batch(options);
  Observer nothing;
  double all_cpu = 0;
  const Seconds seconds = seconds_of(
      [&] {
        const std::clock_t start = std::clock();
        transformer.run(batch, nothing);
        all_cpu += static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      },
      options.repeats);
  const double weights =
      static_cast<double>(config.layers * config.hidden_size *
                          (2 * config.query_size() + 2 * config.kv_size() + 3 * config.ffn_size));
  const auto tokens = static_cast<double>(batch.rows());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print(
      "{} layers of {}, ffn {}, {} of {} heads; {} tokens in sequences of {}; {} on {} weights, {} threads\n",
      config.layers, config.hidden_size, config.ffn_size, config.kv_heads, config.heads, batch.rows(),
      options.length, options.compute, options.weights, thread_count());
  const double gflop = 2e-9 * weights * tokens;
  fmt::print(
      "{:.3f} s, {:.1f} tokens/s, {:.1f} GFLOP/s of matmuls; {:.3f} CPU s, {:.1f} GFLOP/s a CPU; "
      "peak memory {} MiB\n",
      seconds.wall, tokens / seconds.wall, gflop / seconds.wall, seconds.cpu, gflop / seconds.cpu,
      usage.ru_maxrss / 1024);
  fmt::print("matmuls take {:.1f} % of the CPU time\n", 100 * linear_cpu / all_cpu);
  if (options.decode > 0) {
    const std::vector<TokenIds> starts(static_cast<std::size_t>(options.decode), TokenIds{1});
    constexpr Index kLength = 33;
    const double took = seconds_of([&] { transformer.sample(starts, kLength, 1, 0); }, 1).wall;
    fmt::print("sampling {} sequences at once: {:.1f} tokens/s\n", options.decode,
               static_cast<double>(options.decode * (kLength - 1)) / took);
  }
  return 0;
}

}  // namespace
}  // namespace defectoscope

int main(int argc, char** argv) {
  defectoscope::Options options;
  CLI::App app{"Speed of the forward pass on generated weights"};
  app.add_option("--hidden", options.hidden)->capture_default_str();
  app.add_option("--ffn", options.ffn)->capture_default_str();
  app.add_option("--heads", options.heads)->capture_default_str();
  app.add_option("--kv-heads", options.kv_heads)->capture_default_str();
  app.add_option("--layers", options.layers)->capture_default_str();
  app.add_option("--tokens", options.tokens, "rows of the batch")->capture_default_str();
  app.add_option("--length", options.length, "tokens of a sequence")->capture_default_str();
  app.add_option("--repeats", options.repeats)->capture_default_str();
  app.add_option("--threads", options.threads, "0: all")->capture_default_str();
  app.add_option("--compute", options.compute)->check(CLI::IsMember({"f32", "bf16"}))->capture_default_str();
  app.add_option("--weights", options.weights)
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->capture_default_str();
  app.add_option("--decode", options.decode, "also sample so many sequences at once")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return defectoscope::run(options);
}
