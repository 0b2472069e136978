#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lineage/token_sample.h"
#include "tensor/matrix.h"

namespace defectoscope {

class Model;
class Tokenizer;

/// Which linear forms the directions are of.
enum class SignatureForm {
  kCanonical,  ///< CanonicalLayer: what a model's outputs do not show is taken out
  kPaper       ///< the paper's: no centring, no biases, Σ = I, no scale (LinearizeOptions::paper_parity)
};
std::string signature_form_name(SignatureForm form);  ///< "canonical", "paper"

/// What stays of a model to tell later what was made from it. Rows of matrices are layers.
struct Signature {
  SignatureForm form = SignatureForm::kCanonical;
  std::string model;  ///< the name of its folder or file
  std::string model_type, family;
  std::string fingerprint;  ///< of the checkpoint's weights, see fingerprint()
  Index hidden_size = 0, layers = 0, vocab_size = 0;
  double embedding_rms = 0;

  Matrix left;                 ///< [layers, d] unit, of L; a zero row where L has no direction
  Matrix ffn_left;             ///< [layers, d] unit, of F alone
  Matrix singular_values;      ///< [layers, 2] of L, descending
  Matrix ffn_singular_values;  ///< [layers, 2] of F alone
  /// [layers, 2] real and imaginary part of the eigenvalue of R = L − I whose eigenvector is nearest to u of
  /// L (0, 0 where L has no direction); no rows in files of version 1.
  Matrix decay_eigenvalues;

  std::vector<std::uint64_t> token_hashes;  ///< [n] ascending, of TokenSample; empty without a tokenizer
  Matrix token_left, token_ffn_left;        ///< [layers, n] unit: E u for each direction u
  double token_dimension = 0;               ///< TokenProjector::effective_dimension

  Index tokens() const { return static_cast<Index>(token_hashes.size()); }
};

struct SignatureOptions {
  SignatureForm form = SignatureForm::kCanonical;
  Index tokens = 1024;               ///< sampled vocabulary entries, at most
  Index removed = 4;                 ///< leading directions of the embedding left out of token signatures
  std::optional<double> ridge = {};  ///< token signatures whitened, see TokenProjector; none: unwhitened
  std::uint64_t seed = 0;            ///< of the iterations' starting blocks
};

/// One layer in memory; the passes over the weights that a scan's directions take, and one over the
/// embedding. `tokenizer` may be null. Directions have the precision of a signature file (round_to_stored),
/// so that models and their signatures compare alike. Throws Error(kBadInput) on weights that are not finite,
/// naming the tensor.
Signature compute_signature(const Model& model, const Tokenizer* tokenizer, const SignatureOptions& options);

}  // namespace defectoscope
