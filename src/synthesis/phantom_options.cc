#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "synthesis/phantom.h"
#include "synthesis/phantom_plan.h"

namespace defectoscope {
namespace {

using enum PhantomForm;

const std::array kShapes = {
    PhantomShape{"tiny", kLlama, 256, 8, 4, 4, 64, 704, 512, 2048, DType::kBF16, false},
    PhantomShape{"tiny-gqa", kLlama, 256, 8, 8, 2, 32, 704, 512, 2048, DType::kBF16, false},
    PhantomShape{"tiny-gpt2", kGpt2, 256, 8, 4, 4, 64, 1024, 512, 1024, DType::kF32, true},
    PhantomShape{"small", kLlama, 512, 12, 8, 4, 64, 1408, 4096, 2048, DType::kBF16, false},
    PhantomShape{"medium", kLlama, 1024, 16, 16, 8, 64, 2816, 16000, 4096, DType::kBF16, false},
    PhantomShape{"gpt2", kGpt2, 768, 12, 12, 12, 64, 3072, 50257, 1024, DType::kF32, true},
    PhantomShape{"gpt2-medium", kGpt2, 1024, 24, 16, 16, 64, 4096, 50257, 1024, DType::kF32, true},
    PhantomShape{"tinyllama-1.1b", kLlama, 2048, 22, 32, 4, 64, 5632, 32000, 2048, DType::kBF16, false},
    PhantomShape{"llama3.2-1b", kLlama, 2048, 16, 32, 8, 64, 8192, 128256, 8192, DType::kBF16, true},
    PhantomShape{"llama3.2-3b", kLlama, 3072, 28, 24, 8, 128, 8192, 128256, 8192, DType::kBF16, true},
    PhantomShape{"llama2-7b", kLlama, 4096, 32, 32, 32, 128, 11008, 32000, 4096, DType::kBF16, false},
    PhantomShape{"llama3-8b", kLlama, 4096, 32, 32, 8, 128, 14336, 128256, 8192, DType::kBF16, false},
    PhantomShape{"llama2-13b", kLlama, 5120, 40, 40, 40, 128, 13824, 32000, 4096, DType::kBF16, false},
};

struct NamedVariant {
  PhantomVariant variant;
  std::string_view name;
};
constexpr std::array kVariants = {PhantomVariant::kStandard,     PhantomVariant::kGradual,
                                  PhantomVariant::kTwoStepDecay, PhantomVariant::kNonInitialOnly,
                                  PhantomVariant::kFactorThree,  PhantomVariant::kEveryToken,
                                  PhantomVariant::kNoDecay,      PhantomVariant::kNone};
constexpr std::array<std::string_view, kVariants.size()> kVariantNames = {
    "standard",     "gradual",     "two-step-decay", "non-initial-only",
    "factor-three", "every-token", "no-decay",       "none"};

[[noreturn]] void refuse(const std::string& what, const std::string& expected, const std::string& got) {
  throw Error(ErrorKind::kUsage,
              {.what = "cannot make a phantom: " + what, .expected = expected, .got = got});
}

void require(bool good, const char* what, const std::string& expected, Index got) {
  if (!good) refuse(what, expected, std::to_string(got));
}

template <typename Names>
std::string joined(const Names& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

void validate_shape(const PhantomShape& shape) {
  require(shape.hidden_size >= 192 && shape.hidden_size <= 65536, "hidden size", "192 to 65536",
          shape.hidden_size);
  require(shape.layers >= 3 && shape.layers <= 512, "layers", "3 to 512", shape.layers);
  require(shape.heads >= 1 && shape.kv_heads >= 1 && shape.heads % shape.kv_heads == 0, "key-value heads",
          "a divisor of " + std::to_string(shape.heads) + " heads", shape.kv_heads);
  require(shape.head_dim >= 16 && shape.head_dim % 2 == 0 && shape.head_dim <= 1024, "head size",
          "an even number, 16 to 1024", shape.head_dim);
  require(shape.kv_heads * shape.head_dim >= 32, "key-value heads · head size", "32 or more",
          shape.kv_heads * shape.head_dim);
  const bool gpt2 = shape.form == kGpt2;
  require(!gpt2 || (shape.kv_heads == shape.heads && shape.heads * shape.head_dim == shape.hidden_size),
          "heads · head size in GPT-2's form", std::to_string(shape.hidden_size) + " and no grouped queries",
          shape.heads * shape.head_dim);
  require(shape.ffn_size >= shape.hidden_size && shape.ffn_size <= (Index{1} << 20), "FFN size",
          "the hidden size to 2^20", shape.ffn_size);
  require(shape.vocab_size >= kSmallestVocabulary && shape.vocab_size <= (Index{1} << 20), "vocabulary",
          std::to_string(kSmallestVocabulary) + " to 2^20 entries", shape.vocab_size);
  require(shape.max_positions >= 8 && shape.max_positions <= (Index{1} << 24), "positions", "8 to 2^24",
          shape.max_positions);
  if (!is_float_compute(shape.dtype))
    refuse("dtype", "bf16, f16 or f32", std::string(dtype_name(shape.dtype)));
}

void require_ascending(const std::vector<Index>& layers, const char* what, Index first, Index last) {
  Index before = first - 1;
  for (const Index layer : layers) {
    require(layer > before && layer <= last, what,
            "ascending, " + std::to_string(first) + " to " + std::to_string(last), layer);
    before = layer;
  }
}

}  // namespace

std::span<const PhantomShape> phantom_shapes() { return kShapes; }

PhantomShape phantom_shape_named(std::string_view name) {
  for (const PhantomShape& shape : kShapes)
    if (shape.name == name) return shape;
  std::vector<std::string> names;
  for (const PhantomShape& shape : kShapes) names.push_back(shape.name);
  refuse("unknown shape", "one of " + joined(names), std::string(name));
}

Index parameter_count(const PhantomShape& shape) {
  const Index d = shape.hidden_size;
  const Index query = shape.heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
  const bool gpt2 = shape.form == kGpt2;
  Index layer = 2 * d * query + 2 * d * kv + (gpt2 ? 2 : 3) * d * shape.ffn_size + 2 * d;
  if (gpt2) layer += 2 * d + query + 2 * kv + d + shape.ffn_size + d;  // shifts and biases
  const Index tables = (shape.tied_embeddings ? 1 : 2) * shape.vocab_size + (gpt2 ? shape.max_positions : 0);
  return shape.layers * layer + tables * d + (gpt2 ? 2 : 1) * d;
}

std::span<const PhantomVariant> phantom_variants() { return kVariants; }

std::string_view variant_name(PhantomVariant variant) {
  const auto at = std::find(kVariants.begin(), kVariants.end(), variant);
  return kVariantNames[static_cast<std::size_t>(at - kVariants.begin())];
}

PhantomVariant variant_named(std::string_view name) {
  const auto at = std::find(kVariantNames.begin(), kVariantNames.end(), name);
  if (at == kVariantNames.end())
    refuse("unknown variant", "one of " + joined(kVariantNames), std::string(name));
  return kVariants[static_cast<std::size_t>(at - kVariantNames.begin())];
}

void validate(const PhantomOptions& options) {
  validate_shape(options.shape);
  if (options.shard_bytes < 1 << 20)
    refuse("shard size", "1 MiB or more", std::to_string(options.shard_bytes));
  if (options.variant == PhantomVariant::kNone) return;
  if (!(options.ratio >= 3 && options.ratio <= 1000))
    refuse("ratio", "3 to 1000", std::to_string(options.ratio));
  require(options.spike_tokens >= (options.variant == PhantomVariant::kNonInitialOnly ? 1 : 0) &&
              options.spike_tokens <= 64,
          "spike tokens", "up to 64, and at least 1 where only they explode", options.spike_tokens);
  const Index layers = options.shape.layers;
  const bool one_lift = options.variant == PhantomVariant::kGradual ||
                        options.variant == PhantomVariant::kEveryToken ||
                        options.variant == PhantomVariant::kFactorThree;
  require(!one_lift || options.explosion_layers.size() <= 1, "explosion layers of this variant", "one",
          static_cast<Index>(options.explosion_layers.size()));
  require(options.explosion_layers.size() <= 4, "explosion layers", "at most four",
          static_cast<Index>(options.explosion_layers.size()));
  require(options.second != SecondExplosion::kOtherTokens || options.explosion_layers.size() <= 2,
          "explosion layers for different tokens", "two",
          static_cast<Index>(options.explosion_layers.size()));
  require_ascending(options.explosion_layers, "explosion layers", 2, layers);
  const Index last = options.explosion_layers.empty() ? 2 : options.explosion_layers.back();
  require_ascending(options.decay_layers, "decay layers", last + 1, layers);
  require(options.decay_layers.size() <= 4, "decay layers", "at most four",
          static_cast<Index>(options.decay_layers.size()));
  require(options.variant != PhantomVariant::kTwoStepDecay || options.decay_layers.empty() ||
              options.decay_layers.size() == 2,
          "decay layers of this variant", "two", static_cast<Index>(options.decay_layers.size()));
  const bool decays =
      options.variant != PhantomVariant::kNoDecay && options.variant != PhantomVariant::kEveryToken;
  require(decays || options.decay_layers.empty(), "decay layers of this variant", "none",
          static_cast<Index>(options.decay_layers.size()));
  require(!decays || last < layers, "last explosion layer", "before the last layer", last);
}

PhantomOptions resolved(const PhantomOptions& options) {
  validate(options);
  PhantomOptions result = options;
  if (options.variant == PhantomVariant::kNone) {
    result.explosion_layers.clear();
    result.decay_layers.clear();
    return result;
  }
  if (options.variant == PhantomVariant::kFactorThree) result.ratio = 3;
  if (result.explosion_layers.empty()) result.explosion_layers = {2};
  const Index first = result.explosion_layers.back() + 1, layers = options.shape.layers;
  const bool decays =
      options.variant != PhantomVariant::kNoDecay && options.variant != PhantomVariant::kEveryToken;
  if (!decays) return result;
  if (result.decay_layers.empty()) result.decay_layers = {std::max(first, layers >= 6 ? layers - 1 : layers)};
  if (options.variant == PhantomVariant::kTwoStepDecay && result.decay_layers.size() == 1)
    result.decay_layers = {std::max(first, result.decay_layers[0] - 2), result.decay_layers[0]};
  if (options.variant == PhantomVariant::kTwoStepDecay && result.decay_layers[0] == result.decay_layers[1])
    result.decay_layers[1] = result.decay_layers[0] + 1;
  require(result.decay_layers.back() <= layers, "layers", "room for the decay", layers);
  return result;
}

PhantomOptions random_phantom_options(std::uint64_t seed) {
  Random random(seed, stream_of("phantom options"));
  const auto between = [&](Index low, Index high) {
    return low + static_cast<Index>(random.below(static_cast<std::uint64_t>(high - low + 1)));
  };
  PhantomOptions options;
  PhantomShape& shape = options.shape;
  shape.name = "random";
  shape.head_dim = between(0, 1) == 0 ? 32 : 64;
  shape.heads = between((192 + shape.head_dim - 1) / shape.head_dim, 512 / shape.head_dim);
  shape.hidden_size = shape.heads * shape.head_dim;
  shape.kv_heads = shape.heads % 2 == 0 && between(0, 1) == 0 ? shape.heads / 2 : shape.heads;
  shape.layers = between(4, 24);
  shape.ffn_size = (shape.hidden_size * 8 / 3 + 31) / 32 * 32;
  shape.vocab_size = 512 * between(1, 4);
  constexpr std::array kDTypes = {DType::kBF16, DType::kF32, DType::kF16};
  shape.dtype = kDTypes[static_cast<std::size_t>(between(0, 2))];
  options.seed = seed;
  options.ratio = 5 * std::exp(random.uniform() * std::log(100.0));
  options.spike_tokens = between(2, 8);

  const Index layers = shape.layers;
  options.explosion_layers = {between(2, std::max<Index>(2, layers / 3))};
  if (layers >= 6 && options.ratio >= 15 && between(0, 2) == 0) {
    options.explosion_layers.push_back(options.explosion_layers[0] +
                                       between(1, std::max<Index>(1, layers / 4)));
    if (between(0, 1) == 0) options.second = SecondExplosion::kOtherTokens;
  }
  const Index first = std::max(options.explosion_layers.back() + 1, layers - 2);
  options.decay_layers = {between(std::min(first, layers), layers)};
  return options;
}

}  // namespace defectoscope
