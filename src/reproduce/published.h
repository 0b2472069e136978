#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// A number that somebody published about a model's high-norm tokens.
enum class PublishedQuantity {
  kPairwiseAngle,     ///< mean angle between all high-norm states, degrees
  kExplosionLayer,    ///< `layer`, which makes high norms; ours: the explosion layer nearest to it
  kDecayLayer,        ///< `layer`, which removes them; ours alike
  kLeftAngle,         ///< leading left singular vector of L to the empirical direction, degrees
  kFfnLeftAngle,      ///< the same of F alone
  kEigenvalue,        ///< real part, of the eigenvector of R nearest to the empirical direction
  kEigenvectorAngle,  ///< that eigenvector's angle, degrees
  kNormBeforeFfn,     ///< mean over first tokens
  kNormAfterFfn,      ///< mean over first tokens, after the layer
  kLaterNorm,         ///< of an ordinary later token after the layer (ours: the median)
  kFirstCoefficient,  ///< mean |v1 · h| of first tokens just before the FFN
  kMassiveDimension,  ///< `layer` is the rank (1: the largest), the value a 0-based dimension
  kNamedSpikes,       ///< how many of named_tokens are among the five entries of largest norm after the layer
                      ///< where all attention is removed
  kPerplexity,        ///< unquantized
  kPerplexityRtn,     ///< round to nearest, W8A8, a step a tensor
  kPerplexityRtnSkip,
  kPerplexitySmooth,  ///< SmoothQuant
  kPerplexitySmoothSkip
};
/// True of those that need a text's perplexity.
bool is_perplexity(PublishedQuantity quantity);

struct PublishedFigure {
  PublishedQuantity quantity;
  Index layer = 0;  ///< 1-based; 0 where the figure is of no layer
  double value = 0;
};

/// What makes a model one of those that were measured, whatever its weights are.
struct PublishedShape {
  std::string_view family;
  Index layers = 0, hidden_size = 0, kv_heads = 0;
};

/// What was published about one model, with the threshold it was measured at.
struct PublishedModel {
  std::string_view name;    ///< "llama2-7b", as `reproduce` takes it
  std::string_view source;  ///< where the numbers stand
  PublishedShape shape;
  double threshold = 0;            ///< norm above which a state counted as high; 0: none was given
  std::vector<Index> skip_layers;  ///< 1-based: whose down projection the skipping methods leave alone
  std::vector<PublishedFigure> figures;
  std::vector<std::string_view> named_tokens = {};  ///< as the vocabulary spells them, without "▁"
};

/// All that is known, the paper's models first, then the zoo's (measured in PyTorch by zoo/measure.py;
/// perplexities by transformers).
std::span<const PublishedModel> published_models();
/// Throws Error(kUsage), listing the known names, on another.
const PublishedModel& published_model(std::string_view name);
/// "llama2-7b, phi3-medium, ...", for messages.
std::string published_names();
/// "mean pairwise angle", "angle of L, layer 2", ...
std::string figure_name(const PublishedFigure& figure);
/// "°" or nothing.
std::string_view figure_unit(PublishedQuantity quantity);

}  // namespace defectoscope
