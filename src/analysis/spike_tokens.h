#pragma once

#include <vector>

#include "analysis/norm_table.h"
#include "analysis/scan_result.h"
#include "analysis/threshold.h"

namespace defectoscope {

class Tokenizer;

/// 1 for every token of the table with a state above the threshold after some layer that the split calls
/// special.
std::vector<std::uint8_t> high_norm_occurrences(const NormTable& table, const HighNormSplit& split);

/// The vocabulary entries that have high norm somewhere, most frequent first (then by id): where they stand,
/// how often, their norms and the attention they draw by layer. An entry high in less than a twentieth of its
/// occurrences is a stray and left out. Rows of one token and last tokens, which no
/// query follows, do not count in the attention.
std::vector<SpikeToken> spike_tokens(const NormTable& table, const std::vector<std::uint8_t>& high,
                                     const Tokenizer& tokenizer);

/// Quantiles of each layer's norms, [layers + 1].
std::vector<LayerNorms> layer_norms(const NormTable& table);

/// Median over high-norm occurrences of the largest ratio of norm to the layer's ordinary median.
double median_peak_ratio(const NormTable& table, const std::vector<std::uint8_t>& high);

}  // namespace defectoscope
