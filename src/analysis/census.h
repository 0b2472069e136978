#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "forward/transformer.h"

namespace defectoscope {

class ScanJournal;
class Tokenizer;

struct CensusOptions {
  std::vector<Index> layers;  ///< explosion layers, 1-based, ascending: norms are taken after each
  double threshold = 0;       ///< of high norms, where a layer's own norms show no gap; 0: none known
  bool paper_parity = false;  ///< random embeddings as the authors draw them
  std::uint64_t seed = 0;     ///< of the random embeddings
};

/// A vocabulary entry that explodes without any attention: high norm wherever it stands.
struct CensusEntry {
  std::int32_t id = -1;
  std::string token;             ///< readable
  double without_attention = 0;  ///< norm
  double lone = 0;               ///< norm as the only token, with attention
  bool initial = false;          ///< the latter is high as well
};

/// Norms after one explosion layer.
struct CensusLayer {
  Index layer = 0;                       ///< 1-based
  std::vector<float> without_attention;  ///< [vocab] attention removed up to here
  std::vector<float> lone;               ///< [vocab] as first token, with attention
  std::vector<float> random;             ///< [vocab] as first token, with attention; ascending
  double threshold = 0;                  ///< between ordinary and high norms; 0 where neither is told apart
  bool threshold_found = false;          ///< from this layer's norms without attention; else the one given
  double median = 0;                     ///< of `without_attention`
  Index high_without_attention = 0, high_lone = 0, high_random = 0;
  std::vector<CensusEntry> spikes;  ///< above the threshold without attention, largest first
};

struct Census {
  std::vector<CensusLayer> layers;
  std::vector<std::string> notes;  ///< sentences a reader must know about this family
};

/// Every vocabulary entry through the layers up to the last of options.layers, in three forms: with all
/// attention removed, alone with attention, and as many random embeddings with attention. Norms equal those
/// of Transformer::run on sequences of one token. Pieces of 2048 entries go through all layers and are kept
/// in the journal one by one. Memory: what run_layer needs for 2048 rows. Cost: three passes of the
/// vocabulary. Throws Error(kUsage) where options.layers is empty or names a layer the model lacks.
Census take_census(const Transformer& transformer, const Tokenizer& tokenizer, const CensusOptions& options,
                   ScanJournal& journal);

/// CensusLayer::without_attention of one layer (0-based) alone: a third of the work. Pieces are kept as
/// take_census keeps them.
std::vector<float> norms_without_attention(const Transformer& transformer, Index layer_index,
                                           ScanJournal& journal);

/// Norms after each of `layers` (0-based, ascending) of rows that stand alone; states [n, d] are used up.
/// [layers][n]. `without_attention` removes it in all layers.
std::vector<std::vector<float>> lone_norms(const Transformer& transformer, MatrixView states,
                                           const std::vector<Index>& layer_indices, bool without_attention);

/// Throws Error(kUsage) unless every layer (1-based) is one of the model's; `option` names the source.
void check_layers(const std::vector<Index>& layers, const Model& model, const std::string& option);

}  // namespace defectoscope
