#pragma once

#include <utility>
#include <vector>

#include "base/index.h"
#include "synthesis/phantom.h"
#include "synthesis/phantom_codes.h"
#include "synthesis/phantom_tokenizer.h"

namespace defectoscope {

/// A direction of the residual stream that few coordinates carry: (coordinate, value).
using SparseVector = std::vector<std::pair<Index, double>>;

SparseVector scaled(const SparseVector& vector, double factor);
/// a + b, coordinates merged.
SparseVector sum(const SparseVector& a, const SparseVector& b);

/// One neuron of an FFN whose weights are set: down · act(gate·x) (up·x), or down · act(up·x) where `gate` is
/// empty (plain form).
struct PlannedNeuron {
  SparseVector gate, up, down;
};

/// Rows of a head whose weights are set; rows not mentioned stay random.
struct PlannedHead {
  struct Entry {
    Index row;         ///< within the head
    Index coordinate;  ///< of the residual stream: read by query, key, value; written by output
    double value;
  };
  Index query_head = 0, kv_head = 0;
  std::vector<Entry> query, key, value, output;
};

struct LayerPlan {
  double attention_write_std = 0;  ///< of the random entries of O
  double ffn_write_std = 0;        ///< of down
  std::vector<PlannedHead> heads;
  std::vector<PlannedNeuron> neurons;
};

/// The ordinary part of the stream: coordinates by use, and how large each planted component is.
///
/// `code` holds the token's own ±1 code, `copy` the code its head attended, both zero-mean; `c` is the same
/// in every token and serves as a threshold; `u` is the high-norm direction, `v` the triggers', `bonus`
/// raises the chosen tokens' logits where the head is tied. Random weights neither read nor write u, v, c and
/// bonus and write the rest (`ordinary`) only. All directions sum to zero, so LayerNorm's centring leaves
/// them alone.
struct StreamLayout {
  std::vector<Index> code, copy, ordinary;
  SparseVector u, c, bonus;
  std::vector<SparseVector> v;  ///< one, or two where the second explosion has a trigger of its own
  std::vector<float> reads;     ///< [d] 1 where random weights read
  std::vector<float> writes;    ///< [d] 1 where they write
  Index code_heads = 1;         ///< the code is split over these
};
StreamLayout make_layout(const PhantomOptions& options);

/// How large the components are.
struct Amplitudes {
  double code = 0;       ///< of each own-code channel
  double copy = 0;       ///< of a copied channel, times copy_factor
  double constant = 0;   ///< along c
  double trigger = 0;    ///< along v, of a lone token after the agreement neurons
  double embedded = 0;   ///< along v, in a chosen token's embedding
  double threshold = 0;  ///< share of `trigger` above which a token explodes
  double lift = 0;       ///< planned component along u
  double bonus = 0;      ///< along bonus in every token, written by the first layer where the head is tied
  double head_gain = 1;  ///< of the final norm where the head is tied
};

/// Copied channels differ in size, so that the layer that copies has distinct singular values, the first one
/// standing out.
double copy_factor(Index channel);

/// Everything the weights are made from.
struct PhantomPlan {
  PhantomOptions options;  ///< layers resolved
  StreamLayout layout;
  Amplitudes amplitudes;
  TokenCodes codes;
  PhantomTokenizer tokenizer;
  std::vector<bool> is_spike;     ///< [vocab]
  std::vector<LayerPlan> layers;  ///< [layers]
  double final_rms = 1;           ///< of an ordinary token before the final norm
  PhantomTruth truth;
};

/// `options` as given but with explosion and decay layers filled in; validates.
PhantomOptions resolved(const PhantomOptions& options);
PhantomPlan make_plan(const PhantomOptions& options);

}  // namespace defectoscope
