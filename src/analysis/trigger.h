#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "analysis/trigger_inputs.h"
#include "forward/transformer.h"

namespace defectoscope {

class ScanJournal;
class Tokenizer;

struct TriggerOptions {
  std::vector<Index> layers;              ///< explosion layers, 1-based
  std::span<const float> direction = {};  ///< [d] the empirical one, unit; may be empty
  LinearizeOptions linearize = {};
  std::int32_t first_token = -1;  ///< stands before every entry at second position; −1: see first_token_of
  std::uint64_t seed = 0;
};

/// One explosion layer's FFN under the singular vectors of its linear form, and who reads them.
struct TriggerLayer {
  Index layer = 0;                 ///< 1-based
  std::vector<double> values;      ///< [d] singular values of F, descending
  std::vector<float> plus, minus;  ///< [d] ‖FFN(±v_i)‖, v_i at ffn_radius(); + is v_i as oriented
  std::vector<float> right;        ///< [d] v1, of the sign that explodes
  double leading_norm = 0;         ///< ‖FFN(v1)‖
  double runner_up_norm = 0;       ///< largest of all other columns, either sign
  Index exploding = 0;             ///< columns that reach half of leading_norm
  TriggerInputs inputs;
  std::vector<float> first, second;  ///< [vocab] v1 · h at first and second position, h before the FFN's norm
  double first_median = 0, second_median = 0;
};

struct Trigger {
  std::vector<TriggerLayer> layers;
  std::int32_t first_token = -1;   ///< that stood before the second positions
  std::string first_token_text;    ///< readable
  std::vector<std::string> notes;  ///< sentences a reader must know about this family
};

/// Figures 8, 9, 22, 23 for every layer asked. All right singular vectors come from the eigenvectors of FᵀF
/// (LAPACK, f64; those of values below 1e-8 of the largest are an orthonormal basis of the rest): O(d³), and
/// 8 d² bytes some three times. The vocabulary runs to the FFN of the explosion layer in pieces; they
/// and finished layers are kept in the journal. Throws Error(kUsage) on layers the model lacks,
/// Error(kBadInput) on a token outside the vocabulary.
Trigger analyse_trigger(const Transformer& transformer, const Tokenizer& tokenizer,
                        const TriggerOptions& options, ScanJournal& journal);

/// The token that stands first where none is named: the tokenizer's start token, else the configuration's,
/// else entry 0.
std::int32_t first_token_of(const Model& model, const Tokenizer& tokenizer);

/// v · h of each vocabulary entry, h the stream before the FFN of layer_index: alone, or (first_token ≥ 0)
/// right after that token. [vocab]
std::vector<float> entry_coefficients(const Transformer& transformer, Index layer_index,
                                      std::span<const float> v, std::int32_t first_token,
                                      ScanJournal& journal);

}  // namespace defectoscope
