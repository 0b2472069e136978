#include "lineage/signature.h"

#include <algorithm>
#include <cmath>

#include "base/progress.h"
#include "base/random.h"
#include "checkpoint/checkpoint.h"
#include "lineage/canonical_layer.h"
#include "lineage/embedded_tokens.h"
#include "lineage/signature_file.h"
#include "model/model.h"
#include "spectral/eigen.h"
#include "spectral/singular.h"

namespace defectoscope {
namespace {

constexpr Index kSingularValues = 2;
// A wide model's layers are passed over some twenty times already; what few passes find depends on no basis
// either.
constexpr Index kWide = 1024, kPassesWhenWide = 6, kPasses = 40;
constexpr double kNoGap = 1e-5;

/// The leading left singular vector into `left` (its largest component positive; zero where A is zero), the
/// leading singular values into `values`.
void leading(const LinearOperator& a, std::uint64_t seed, std::span<float> left, std::span<float> values) {
  SingularOptions options;
  options.count = kSingularValues;
  options.seed = seed;
  const SingularTriplets triplets = leading_singular(a, options);
  for (std::size_t i = 0; i < std::min(values.size(), triplets.values.size()); ++i)
    values[i] = static_cast<float>(triplets.values[i]);
  if (triplets.values.empty() || triplets.values[0] <= 0) return;
  // L = I of a layer that writes nothing: no direction stands out.
  if (triplets.values.size() > 1 && triplets.values[0] - triplets.values[1] <= kNoGap * triplets.values[0])
    return;
  std::ranges::copy(triplets.left.row(0), left.begin());
  const float largest =
      *std::ranges::max_element(left, [](float x, float y) { return std::abs(x) < std::abs(y); });
  if (largest < 0)
    for (float& value : left) value = -value;
}

/// The eigenvalue of R nearest in angle to the layer's direction, as far as the passes find it.
void decay_eigenvalue(const LinearOperator& residual, std::span<const float> left, std::span<float> out) {
  const std::vector<double> start(left.begin(), left.end());
  const EigenPair pair =
      nearest_eigenpair(residual, start, {.max_passes = residual.rows() < kWide ? kPasses : kPassesWhenWide});
  out[0] = static_cast<float>(pair.value.real());
  out[1] = static_cast<float>(std::abs(pair.value.imag()));  // of a pair of complex ones either
}

}  // namespace

std::string signature_form_name(SignatureForm form) {
  return form == SignatureForm::kCanonical ? "canonical" : "paper";
}

Signature compute_signature(const Model& model, const Tokenizer* tokenizer, const SignatureOptions& options) {
  const ModelConfig& config = model.config();
  Signature signature;
  signature.form = options.form;
  signature.model = model.name();
  signature.model_type = config.model_type;
  signature.family = config.architecture->name;
  signature.fingerprint = fingerprint(model.checkpoint());
  signature.hidden_size = config.hidden_size;
  signature.layers = config.layers;
  signature.vocab_size = config.vocab_size;
  const Canonical canonical = canonical_of(model);
  signature.embedding_rms = canonical.residual_rms;

  LinearizeOptions linearize;
  linearize.paper_parity = options.form == SignatureForm::kPaper;
  if (linearize.paper_parity)
    linearize.covariance = InputCovariance::kIdentity;
  else
    linearize.residual_rms = canonical.residual_rms;

  signature.left = Matrix(config.layers, config.hidden_size);
  signature.ffn_left = Matrix(config.layers, config.hidden_size);
  signature.singular_values = Matrix(config.layers, kSingularValues);
  signature.ffn_singular_values = Matrix(config.layers, kSingularValues);
  signature.decay_eigenvalues = Matrix(config.layers, 2);
  Progress progress("Taking the signature", config.layers);
  for (Index i = 0; i < config.layers; ++i) {
    const LinearizedLayer layer(model.layer(i), config, linearize);
    // Where a direction is ill-determined the start decides: it must not be the same for unrelated models.
    const std::uint64_t seed =
        Random(options.seed ^ stream_of(signature.fingerprint.c_str()), static_cast<std::uint64_t>(i))
            .next_u64();
    const CanonicalLayer whole(layer, canonical);
    const CanonicalFfn ffn(layer, canonical);
    const bool paper = options.form == SignatureForm::kPaper;
    leading(paper ? layer.form(LinearForm::kLayer) : whole, seed, signature.left.row(i),
            signature.singular_values.row(i));
    leading(paper ? layer.form(LinearForm::kFfn) : ffn, seed, signature.ffn_left.row(i),
            signature.ffn_singular_values.row(i));
    const CanonicalResidual residual(whole, canonical);
    decay_eigenvalue(paper ? layer.form(LinearForm::kResidual) : residual, signature.left.row(i),
                     signature.decay_eigenvalues.row(i));
    progress.advance();
  }

  if (tokenizer != nullptr) {
    TokenSample sample = sample_tokens(*tokenizer, config.vocab_size, options.tokens);
    const TokenProjector projector(embedded_tokens(model, sample.ids), options.removed, options.ridge);
    signature.token_left = projector.signatures(signature.left);
    signature.token_ffn_left = projector.signatures(signature.ffn_left);
    signature.token_dimension = projector.effective_dimension();
    signature.token_hashes = std::move(sample.hashes);
  }
  round_to_stored(signature);
  return signature;
}

}  // namespace defectoscope
