#pragma once

#include <vector>

#include "base/index.h"

namespace defectoscope {

struct ModelConfig;

/// Rotary frequencies [rotary_dim / 2], radians per position: base^(−2i / rotary_dim), changed as the
/// configuration's scaling says. Linear: divided by the factor. LLaMA-3: those whose wavelength exceeds
/// original_max_positions / low_frequency_factor are divided by the factor, those below … /
/// high_frequency_factor stay, those between are interpolated. YaRN (Peng et al. 2023, section 3.2): the same
/// between beta_slow and beta_fast turns, linearly in the dimension. LongRoPE: divided by the long factors
/// of sequences that exceed original_max_positions, or by the short ones. Empty where the family turns
/// nothing.
std::vector<double> rotary_frequencies(const ModelConfig& config, bool is_long);
/// The same for windowed layers with a base of their own; empty where they have none.
std::vector<double> local_rotary_frequencies(const ModelConfig& config);

/// ALiBi's slopes (Press, Smith, Lewis 2022): 2^(−8 h / n), h = 1 … n, for n heads a power of two; for others
/// those of the power below, then every second one of the power above.
std::vector<float> make_alibi_slopes(Index heads);

}  // namespace defectoscope
