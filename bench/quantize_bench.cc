// Int8 beside bf16 and f32 at a model's shapes, in turn in one process: each matmul, then the forward pass:
// embedding, layers, final norm and LM head, to the logits of every token. Prints medians and the ratios to
// bf16. The head stays in bf16 where the layers are int8, as in a quantized model; beside a few layers alone
// it weighs more than in a whole model: the line of the layers without it stands above that of the whole, and
// --layers 32 is a 7B model's own depth (13 GB of bf16 and 7 GB of int8).
//   quantize_bench --hidden 4096 --ffn 11008 --vocab 32000 --layers 2 --tokens 512 2048 --repeats 5
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>

#include "base/parallel.h"
#include "base/random.h"
#include "forward/transformer.h"
#include "generated_llama.h"
#include "quantize/quantized_linear.h"
#include "quantize/quantized_model.h"

namespace defectoscope {
namespace {

struct Options {
  Index hidden = 4096, ffn = 11008, heads = 32, vocab = 32000, layers = 2, repeats = 5;
  std::vector<Index> tokens = {512, 2048};
  int threads = 0;
};

/// Median seconds of each of the works, which run by turns after one round of warming up.
std::vector<double> medians(const std::vector<std::function<void()>>& works, Index repeats) {
  std::vector<std::vector<double>> seconds(works.size());
  for (Index round = 0; round <= repeats; ++round)
    for (std::size_t i = 0; i < works.size(); ++i) {
      const auto start = std::chrono::steady_clock::now();
      works[i]();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (round > 0) seconds[i].push_back(took.count());
    }
  std::vector<double> result;
  for (std::vector<double>& list : seconds) {
    std::ranges::nth_element(list, list.begin() + static_cast<std::ptrdiff_t>(list.size() / 2));
    result.push_back(list[list.size() / 2]);
  }
  return result;
}

void print_row(const std::string& name, double operations, const std::vector<double>& seconds) {
  fmt::print("{:<34}", name);
  for (const double s : seconds) fmt::print(" {:8.1f} ms {:7.1f} GOP/s", 1e3 * s, 1e-9 * operations / s);
  fmt::print("   int8 / bf16 {:.2f}, int8 / f32 {:.2f}\n", seconds[0] / seconds[2], seconds[1] / seconds[2]);
  std::fflush(stdout);
}

void matmuls(const Options& options, Index tokens) {
  const std::pair<Index, Index> shapes[] = {
      {options.hidden, options.hidden}, {options.ffn, options.hidden}, {options.hidden, options.ffn}};
  for (const auto& [out, in] : shapes) {
    Matrix values(out, in), x(tokens, in), y(tokens, out);
    Random random(1);
    for (Index i = 0; i < out * in; ++i) values.data()[i] = static_cast<float>(random.normal());
    for (Index i = 0; i < tokens * in; ++i) x.data()[i] = static_cast<float>(random.normal());
    const LinearWeights weights{make_weight_matrix(values, DType::kBF16), {}};
    const auto bf16 = make_dense_linear(weights, ComputeType::kBF16);
    const auto f32 = make_dense_linear(weights, ComputeType::kF32);
    const auto int8 = make_quantized_linear(weights, rtn_scheme(), {});
    print_row(fmt::format("{} x {} on {} tokens", out, in, tokens),
              2.0 * static_cast<double>(out) * static_cast<double>(in) * static_cast<double>(tokens),
              medians({[&] { bf16->apply(x.view(), y.view()); }, [&] { f32->apply(x.view(), y.view()); },
                       [&] { int8->apply(x.view(), y.view()); }},
                      options.repeats));
  }
}

void forward_passes(const Options& options, const Model& model, Index tokens) {
  constexpr Index kLength = 512;
  std::vector<TokenIds> sequences;
  for (Index first = 0; first < tokens; first += kLength) {
    TokenIds& sequence = sequences.emplace_back();
    for (Index i = 0; i < std::min(kLength, tokens - first); ++i)
      sequence.push_back(static_cast<std::int32_t>((i * 37 + first) % model.config().vocab_size));
  }
  const Batch batch(std::move(sequences));
  const Transformer bf16(model, {.compute = ComputeType::kBF16, .linear = {}});
  const Transformer f32(model, {.compute = ComputeType::kF32, .linear = {}});
  QuantizedModelOptions scheme;
  scheme.scheme = rtn_scheme();
  scheme.compute = ComputeType::kBF16;
  const Transformer int8(model, quantized(model, scheme));
  Observer nothing;
  const ModelConfig& c = model.config();
  Matrix logits(tokens, c.vocab_size);
  const auto layers_of = [&](const Transformer& transformer) -> std::function<void()> {
    return [&, own = &transformer] { own->run(batch, nothing); };
  };
  const auto whole_of = [&](const Transformer& transformer) -> std::function<void()> {
    return [&, own = &transformer] { own->logits(own->final_states(batch), logits); };
  };
  const auto in_layers = static_cast<double>(c.layers * c.hidden_size * (4 * c.hidden_size + 3 * c.ffn_size));
  const auto in_head = static_cast<double>(c.vocab_size * c.hidden_size);
  print_row(fmt::format("{} layers on {} tokens", c.layers, tokens),
            2 * in_layers * static_cast<double>(tokens),
            medians({layers_of(bf16), layers_of(f32), layers_of(int8)}, options.repeats));
  print_row(fmt::format("whole pass, {} layers, {} tokens", c.layers, tokens),
            2 * (in_layers + in_head) * static_cast<double>(tokens),
            medians({whole_of(bf16), whole_of(f32), whole_of(int8)}, options.repeats));
}

int run(const Options& options) {
  if (options.threads > 0) set_thread_count(options.threads);
  fmt::print("{} threads; columns: bf16, f32, int8 (per tensor, quantizing its input included)\n",
             thread_count());
  const Model model = generated_llama({.hidden_size = options.hidden,
                                       .ffn_size = options.ffn,
                                       .heads = options.heads,
                                       .kv_heads = options.heads,
                                       .layers = options.layers,
                                       .vocab_size = options.vocab},
                                      DType::kBF16);
  for (const Index tokens : options.tokens) matmuls(options, tokens);
  for (const Index tokens : options.tokens) forward_passes(options, model, tokens);
  return 0;
}

}  // namespace
}  // namespace defectoscope

int main(int argc, char** argv) {
  defectoscope::Options options;
  CLI::App app{"Int8 matmuls and forward passes beside bf16 and f32"};
  app.add_option("--hidden", options.hidden)->capture_default_str();
  app.add_option("--ffn", options.ffn)->capture_default_str();
  app.add_option("--heads", options.heads)->capture_default_str();
  app.add_option("--vocab", options.vocab)->capture_default_str();
  app.add_option("--layers", options.layers)->capture_default_str();
  app.add_option("--tokens", options.tokens, "rows of a batch")->capture_default_str();
  app.add_option("--repeats", options.repeats)->capture_default_str();
  app.add_option("--threads", options.threads, "0: all")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return defectoscope::run(options);
}
