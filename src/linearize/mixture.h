#pragma once

#include <vector>

#include "linearize/layer_parts.h"

namespace defectoscope {

/// What experts count in a layer's F.
struct ExpertShares {
  std::vector<double> experts;  ///< [experts]: E[weight the router gives]; 0 where it does not choose
  double shared = 1;            ///< E[sigmoid of the shared expert's switch]
};
/// The mean routing weights over inputs of the very distribution that F1 is fitted on, by 4,096 draws from a
/// generator of fixed seed (standard error of a share under 0.008 · scale): like F1 they need no text, and no
/// choice of one typical input. That an expert's inputs are those it is chosen for is left out.
ExpertShares expert_shares(const ExpertWeights& weights, const ModelConfig& config, const FfnInput& input);

/// The layer's FFNs with their fits and weights: one in a dense layer; of experts those that count.
std::vector<FfnPart> ffn_parts(const LayerWeights& layer, const ModelConfig& config,
                               const LinearizeOptions& options, const FfnInput& input);
/// Their neurons one after the other, shares and strengths weighted.
FfnFit combined_fit(const std::vector<FfnPart>& parts);

/// The norm of MLA's latent c = W x, x of that distribution: diag(g) · √latent / √E‖c‖².
NormForm latent_form(const LatentWeights& latent, const ModelConfig& config, const FfnInput& input,
                     bool paper_parity);
/// What a lone token's own value counts beside a sink, by head: the mean of 1 / (1 + exp(sink − q·k/√dim))
/// over 256 draws of that distribution.
std::vector<float> sink_shares(const AttentionWeights& attention, const ModelConfig& config,
                               const FfnInput& input);

}  // namespace defectoscope
