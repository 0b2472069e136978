#pragma once

#include <string>
#include <vector>

#include "quantize/activation_maxima.h"

namespace defectoscope {

/// Where the largest inputs of one matmul lie, by input channel.
struct OutlierChannels {
  Index layer = 0;                 ///< 1-based
  std::string input;               ///< "attention in", "attention out", "FFN in", "down in"
  Index channels = 0;              ///< of the input
  double max = 0, median = 0;      ///< over channels, of the largest magnitude each had
  std::vector<Index> outliers;     ///< beyond kOutlierFactor medians, largest first, at most 8
  Index outlier_count = 0;         ///< all that are beyond
  bool residual_channels = false;  ///< its channels are the residual stream's dimensions
};
inline constexpr double kOutlierFactor = 6;

/// Of every matmul that recorded an input, in the order of the forward pass; what reads the same input
/// (query, key, value; gate, up; all experts' gate and up) comes once. Left out: the inputs of experts' down
/// projections, whose channels are each expert's own, and of what reads latents (MLA).
std::vector<OutlierChannels> outlier_channels(const Model& model, const ActivationMaxima& maxima);

}  // namespace defectoscope
