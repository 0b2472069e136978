#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/index.h"
#include "tensor/dtype.h"

namespace defectoscope {

/// The two families a phantom can take: RMSNorm, rotary positions, gated SiLU, no biases; or LayerNorm,
/// learned positions, plain GELU, biases and matrices stored [in, out].
enum class PhantomForm { kLlama, kGpt2 };

/// A model's shape, as a phantom or a random model is to have it.
struct PhantomShape {
  std::string name;
  PhantomForm form = PhantomForm::kLlama;
  Index hidden_size = 256;  ///< d
  Index layers = 8;
  Index heads = 4;
  Index kv_heads = 4;
  Index head_dim = 64;
  Index ffn_size = 704;
  Index vocab_size = 512;
  Index max_positions = 2048;
  DType dtype = DType::kBF16;  ///< of every stored tensor: bf16, f16 or f32
  bool tied_embeddings = false;
};

/// All named shapes, smallest first.
std::span<const PhantomShape> phantom_shapes();
/// Throws Error(kUsage) that lists the names known.
PhantomShape phantom_shape_named(std::string_view name);
/// Parameters of the checkpoint (a tied head counts once).
Index parameter_count(const PhantomShape& shape);

/// What is planted. All but the first are near misses, which a scan must report as what they are.
enum class PhantomVariant {
  kStandard,        ///< abrupt explosion of first tokens and of the chosen later ones, flat middle, decay
  kGradual,         ///< the same tokens grow by equal steps over many layers: no explosion layer
  kTwoStepDecay,    ///< half of it goes in one layer, the rest in a later one
  kNonInitialOnly,  ///< only the chosen tokens explode; the first position means nothing
  kFactorThree,     ///< an abrupt rise, to three times the ordinary norm only
  kEveryToken,      ///< one layer lifts every token alike: nobody is special
  kNoDecay,         ///< the high norm stays to the end
  kNone             ///< random weights with the usual initialisation, nothing planted
};
std::span<const PhantomVariant> phantom_variants();
std::string_view variant_name(PhantomVariant variant);  ///< "standard", "gradual", ...
/// Throws Error(kUsage) that lists the names known.
PhantomVariant variant_named(std::string_view name);

/// What a second explosion layer does.
enum class SecondExplosion {
  kAmplifies,   ///< the first lifts to 0.4 of the planned norm, the others share the rest
  kOtherTokens  ///< the first lifts initial tokens, the second the chosen later ones, by a trigger of its own
};

struct PhantomOptions {
  PhantomShape shape;
  std::uint64_t seed = 0;
  PhantomVariant variant = PhantomVariant::kStandard;
  std::vector<Index> explosion_layers;  ///< 1-based, ascending, the first at least 2; empty: {2}
  std::vector<Index> decay_layers;  ///< 1-based, after the explosions; empty: the last but one (of 6 or more)
  SecondExplosion second = SecondExplosion::kAmplifies;
  double ratio = 40;       ///< planned high norm over the ordinary norm at the explosion layer, 3 to 1000
  Index spike_tokens = 6;  ///< vocabulary entries that explode wherever they stand: '.', newline, random ones
  bool add_start_token = false;       ///< the tokenizer puts <s> before a text
  Index shard_bytes = 5'000'000'000;  ///< largest file; more makes several with an index
};

/// A vocabulary entry that explodes at any position.
struct PlantedToken {
  std::int32_t id = 0;
  std::string token;  ///< as the vocabulary spells it
};

/// One explosion layer's trigger.
struct PlantedExplosion {
  Index layer = 0;             ///< 1-based
  std::vector<float> v;        ///< [d] unit: what its neuron reads (u itself where it amplifies)
  std::vector<float> trigger;  ///< [d] unit: leading right singular vector of F, which also reads c
  bool amplifies = false;
  bool initial = false;      ///< first tokens explode here
  bool non_initial = false;  ///< the chosen tokens explode here
};

/// What is true of the phantom by construction; truth.json holds the same.
struct PhantomTruth {
  PhantomVariant variant = PhantomVariant::kStandard;
  std::uint64_t seed = 0;
  std::vector<Index> explosion_layers;  ///< 1-based; empty in kGradual, kEveryToken, kNone
  std::vector<Index> decay_layers;      ///< 1-based
  std::vector<Index> growth_layers;     ///< kGradual: the layers that share the growth
  std::vector<Index> leap_layers;       ///< kEveryToken
  std::vector<float> u;                 ///< [d] unit, the high-norm direction; empty in kNone
  std::vector<PlantedExplosion> explosions;
  std::vector<PlantedToken> spike_tokens;  ///< explode at any position
  bool initial_tokens = false;             ///< every first token explodes (and repeats of it right after it)
  double ratio = 0;                        ///< planned, at the explosion layer
  double high_norm = 0;                    ///< planned component along u between explosion and decay
  /// [layers + 1], index 0 the embedding: planned norms of an exploding and of an ordinary token.
  std::vector<double> expected_high_norms, expected_ordinary_norms;
};

/// Throws Error(kUsage) naming the option, what was expected and what was given.
void validate(const PhantomOptions& options);

/// What would be planted, without writing anything.
PhantomTruth phantom_truth(const PhantomOptions& options);

/// Writes a Hugging Face folder: config.json, generation_config.json, model.safetensors (or shards with their
/// index), tokenizer.json, tokenizer_config.json, truth.json. The same options give the same bytes at any
/// thread count. Memory stays below 300 MB whatever the shape.
///
/// Throws Error(kUsage) on impossible options or a folder that already holds files, Error(kResources) where
/// the disk is too small or fails, Error(kInterrupted); then nothing written is left behind.
PhantomTruth write_phantom(const PhantomOptions& options, const std::filesystem::path& folder);

/// Draws a phantom's options from a seed: width 192 to 512, 4 to 24 layers, one or two explosion layers, a
/// decay layer near the end, ratio 5 to 500, grouped queries or not. For tests and calibration.
PhantomOptions random_phantom_options(std::uint64_t seed);

}  // namespace defectoscope
