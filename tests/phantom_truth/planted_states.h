#pragma once

#include <vector>

#include "forward/transformer.h"
#include "synthesis/memory_model.h"

namespace defectoscope {

/// Norms of hidden states, sorted by what the token is. Index 0 is the embedding, then each layer's output.
struct StateNorms {
  std::vector<std::vector<double>> first;     ///< first tokens that are not chosen ones
  std::vector<std::vector<double>> spikes;    ///< chosen tokens at later positions
  std::vector<std::vector<double>> ordinary;  ///< all others at later positions
  std::vector<std::vector<float>> high_sum;   ///< [layers + 1][d] sum of normalized first and spike states
};

/// Runs random rows of tokens, one in ten a chosen one, through the model. Repeats of a row's first token
/// right after it count as ordinary nowhere: they look alone too.
StateNorms measure_norms(const PhantomModel& phantom, Index rows = 24, Index length = 24,
                         ComputeType compute = ComputeType::kF32);

double median(std::vector<double> values);
double smallest(const std::vector<double>& values);
double largest(const std::vector<double>& values);

/// Acute angle in degrees.
double angle(std::span<const float> a, std::span<const float> b);

/// What the linear forms of one layer show.
struct LinearView {
  double left_angle = 0;      ///< of L's leading left vector to u
  double ffn_left_angle = 0;  ///< of F's
  double rayleigh = 0;        ///< uᵀRu
  double eigen_residual = 0;  ///< ‖Ru − (uᵀRu)u‖
  std::vector<float> ffn_right;
};
LinearView look_at_layer(const PhantomModel& phantom, Index layer_index);

/// A phantom that is made and measured in well under a second: width 192 to 320, 4 to 9 layers; the seed
/// chooses everything else random_phantom_options does, and GPT-2's form for one in four.
PhantomOptions quick_phantom_options(std::uint64_t seed);

}  // namespace defectoscope
