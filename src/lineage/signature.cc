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
#include "spectral/singular.h"

namespace defectoscope {
namespace {

constexpr Index kSingularValues = 2;

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
  std::ranges::copy(triplets.left.row(0), left.begin());
  const float largest =
      *std::ranges::max_element(left, [](float x, float y) { return std::abs(x) < std::abs(y); });
  if (largest < 0)
    for (float& value : left) value = -value;
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
  Progress progress("signature", config.layers);
  for (Index i = 0; i < config.layers; ++i) {
    const LinearizedLayer layer(model.layer(i), config, linearize);
    const std::uint64_t seed = Random(options.seed, static_cast<std::uint64_t>(i)).next_u64();
    const CanonicalLayer whole(layer, canonical);
    const CanonicalFfn ffn(layer, canonical);
    const bool paper = options.form == SignatureForm::kPaper;
    leading(paper ? layer.form(LinearForm::kLayer) : whole, seed, signature.left.row(i),
            signature.singular_values.row(i));
    leading(paper ? layer.form(LinearForm::kFfn) : ffn, seed, signature.ffn_left.row(i),
            signature.ffn_singular_values.row(i));
    progress.advance();
  }

  if (tokenizer != nullptr) {
    TokenSample sample = sample_tokens(*tokenizer, config.vocab_size, options.tokens);
    const TokenProjector projector(embedded_tokens(model, sample.ids), options.removed);
    signature.token_left = projector.signatures(signature.left);
    signature.token_ffn_left = projector.signatures(signature.ffn_left);
    signature.token_dimension = projector.effective_dimension();
    signature.token_hashes = std::move(sample.hashes);
  }
  round_to_stored(signature);
  return signature;
}

}  // namespace defectoscope
