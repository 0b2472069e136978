#include "analysis/decay_corollary.h"

#include <algorithm>

#include "kernels/pointwise.h"

namespace defectoscope {
namespace {

/// Ordinary states before one layer.
class OrdinaryInputs final : public Observer {
 public:
  OrdinaryInputs(Index layer_index, double threshold) : layer_(layer_index), threshold_(threshold) {}
  void on_states(Index layer_index, Tap tap, const Batch& batch, MatrixView states) override {
    // What enters layer 0 is the embedding, layer_index −1.
    if (layer_index + 1 != layer_ || (tap != Tap::kEmbedding && tap != Tap::kAfterLayer)) return;
    for (std::size_t s = 0; s < batch.sequences.size(); ++s)
      for (Index i = batch.begin[s]; i < batch.begin[s + 1]; ++i) {
        if (norm(states.row(i)) > threshold_) continue;
        tokens.push_back({batch.sequences[s][static_cast<std::size_t>(i - batch.begin[s])]});
        vectors.insert(vectors.end(), states.row(i).begin(), states.row(i).end());
      }
  }
  bool stop_after(Index layer_index) const override { return layer_index + 1 >= layer_; }
  std::vector<TokenIds> tokens;  // each a sequence of one
  std::vector<float> vectors;

 private:
  Index layer_;
  double threshold_;
};

std::vector<double> norms_of(ConstMatrixView states) {
  std::vector<double> norms;
  for (Index i = 0; i < states.rows(); ++i) norms.push_back(norm(states.row(i)));
  std::sort(norms.begin(), norms.end());
  return norms;
}

}  // namespace

std::vector<DecayCorollary> decay_corollary(const Transformer& transformer, const std::vector<TokenIds>& rows,
                                            const ScanResult& scan) {
  std::vector<DecayCorollary> results;
  for (const FoundLayer& found : scan.decay_layers) {
    OrdinaryInputs inputs(found.layer - 1, scan.high_norm.threshold);
    transformer.run(Batch(rows), inputs);
    DecayCorollary result{.layer = found.layer, .states = static_cast<Index>(inputs.tokens.size())};
    if (result.states > 0) {
      const MatrixView states(inputs.vectors.data(), result.states, scan.hidden_size);
      const auto before = norms_of(states);
      result.median_before = before[before.size() / 2];
      result.max_before = before.back();
      Observer nothing;
      transformer.run_layer(found.layer - 1, Batch(std::move(inputs.tokens)), states, nothing);
      const auto after = norms_of(states);
      result.median_after = after[after.size() / 2];
      result.max_after = after.back();
      result.became_high =
          after.end() - std::upper_bound(after.begin(), after.end(), scan.high_norm.threshold);
    }
    results.push_back(result);
  }
  return results;
}

}  // namespace defectoscope
