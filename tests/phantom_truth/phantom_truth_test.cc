#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "planted_states.h"

namespace defectoscope {
namespace {

/// What must hold of one phantom, claim by claim.
class Claims {
 public:
  explicit Claims(const PhantomOptions& options)
      : options_(options), phantom_(phantom_in_memory(options)), norms_(measure_norms(phantom_, 20, 16)) {}

  void first_tokens_explode_in_the_planned_layer_whatever_they_are() const {
    const Index layer = first_explosion(true);
    const double before = median(norms_.ordinary[at(layer - 1)]);
    EXPECT_LT(largest(norms_.first[at(layer - 1)]), 2 * before);
    EXPECT_GT(smallest(norms_.first[at(layer)]), 0.8 * planned(layer));
    EXPECT_LT(largest(norms_.first[at(layer)]), 1.25 * planned(layer));
  }

  void chosen_tokens_explode_at_later_positions() const {
    const Index layer = first_explosion(false);
    EXPECT_LT(largest(norms_.spikes[at(layer - 1)]), 2 * median(norms_.ordinary[at(layer - 1)]));
    EXPECT_GT(smallest(norms_.spikes[at(layer)]), 0.8 * planned(layer));
    EXPECT_LT(largest(norms_.spikes[at(layer)]), 1.25 * planned(layer));
  }

  void ordinary_tokens_stay_below_three_medians_in_every_layer() const {
    for (const std::vector<double>& norms : norms_.ordinary) EXPECT_LT(largest(norms), 3 * median(norms));
  }

  void middle_is_flat() const {
    const Index last = truth().explosion_layers.back();
    const double level = median(norms_.first[at(last)]);
    for (Index layer = last + 1; layer < truth().decay_layers.front(); ++layer)
      EXPECT_NEAR(median(norms_.first[at(layer)]), level, 0.03 * level);
  }

  void decay_layer_takes_the_high_norm_away() const {
    const Index decay = truth().decay_layers.back();
    const double before = median(norms_.first[at(decay - 1)]);
    const double left = 2 * median(norms_.ordinary[at(decay)]) + 0.05 * before;
    EXPECT_LT(median(norms_.first[at(decay)]), left);
    EXPECT_LT(median(norms_.spikes[at(decay)]), left);
  }

  void norms_are_as_expected() const {
    const Index last = truth().explosion_layers.back();
    const double ratio = median(norms_.first[at(last)]) / median(norms_.ordinary[at(last)]);
    EXPECT_NEAR(ratio / truth().ratio, 1, 0.1);
    for (std::size_t layer = 0; layer < norms_.ordinary.size(); ++layer)
      EXPECT_NEAR(median(norms_.ordinary[layer]) / truth().expected_ordinary_norms[layer], 1, 0.15) << layer;
  }

  /// A token's part that is not u averages out, but for c, v and what tokens share.
  void high_states_point_along_u() const {
    EXPECT_LT(angle(norms_.high_sum[at(truth().explosion_layers.back())], truth().u), 1 + 40 / truth().ratio);
  }

  void left_vectors_point_along_u_in_planted_layers_only() const {
    for (Index layer = 1; layer <= options_.shape.layers; ++layer) {
      const LinearView view = look_at_layer(phantom_, layer - 1);
      const bool explodes = holds(truth().explosion_layers, layer);
      const bool decays = holds(truth().decay_layers, layer);
      if (!explodes && !decays) {
        EXPECT_GT(view.left_angle, 60) << "layer " << layer;
        EXPECT_NEAR(view.rayleigh, 0, 0.01) << "layer " << layer;
        continue;
      }
      EXPECT_LT(view.left_angle, 3) << "layer " << layer;
      EXPECT_LT(view.ffn_left_angle, 3) << "layer " << layer;
      if (decays) {
        EXPECT_LT(view.rayleigh, -1) << "layer " << layer;
        EXPECT_LT(view.eigen_residual, 0.01 * std::abs(view.rayleigh)) << "layer " << layer;
      }
      for (const PlantedExplosion& explosion : truth().explosions) {
        if (explosion.layer != layer) continue;
        EXPECT_LT(angle(view.ffn_right, explosion.trigger), 3) << "layer " << layer;
        if (explosion.amplifies) {
          EXPECT_GT(view.rayleigh, 1) << "layer " << layer;
        }
      }
    }
  }

 private:
  const PhantomTruth& truth() const { return phantom_.truth; }
  double planned(Index layer) const { return truth().expected_high_norms[at(layer)]; }
  static std::size_t at(Index layer) { return static_cast<std::size_t>(layer); }
  static bool holds(const std::vector<Index>& layers, Index layer) {
    return std::find(layers.begin(), layers.end(), layer) != layers.end();
  }
  /// The layer in which initial or later tokens explode first.
  Index first_explosion(bool initial) const {
    for (const PlantedExplosion& explosion : truth().explosions)
      if (initial ? explosion.initial : explosion.non_initial) return explosion.layer;
    return 0;
  }

  PhantomOptions options_;
  PhantomModel phantom_;
  StateNorms norms_;
};

/// One phantom per seed, of every kind the random options make. One test does all, because the phantom is
/// what takes the time.
class PlantedTruth : public ::testing::TestWithParam<int> {};

TEST_P(PlantedTruth, HoldsInTheForwardPassAndTheLinearForms) {
  const PhantomOptions options = quick_phantom_options(static_cast<std::uint64_t>(GetParam()));
  SCOPED_TRACE(testing::Message() << "width " << options.shape.hidden_size << ", layers "
                                  << options.shape.layers << ", ratio " << options.ratio << ", heads "
                                  << options.shape.heads << " by " << options.shape.head_dim
                                  << ", key-value heads " << options.shape.kv_heads);
  const Claims claims(options);
  claims.first_tokens_explode_in_the_planned_layer_whatever_they_are();
  claims.chosen_tokens_explode_at_later_positions();
  claims.ordinary_tokens_stay_below_three_medians_in_every_layer();
  claims.middle_is_flat();
  claims.decay_layer_takes_the_high_norm_away();
  claims.norms_are_as_expected();
  claims.high_states_point_along_u();
  claims.left_vectors_point_along_u_in_planted_layers_only();
}

INSTANTIATE_TEST_SUITE_P(Seeds, PlantedTruth, ::testing::Range(0, 24));

}  // namespace
}  // namespace defectoscope
