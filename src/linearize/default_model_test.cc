#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "linearize/layer_operator.h"
#include "linearize/quadratic.h"
#include "linearize/test_layers.h"
#include "spectral/eigen.h"
#include "spectral/singular.h"

namespace defectoscope {
namespace {

/// The model the program scans by default: trained weights, every layer.
class DefaultModel : public testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path folder = DEFECTOSCOPE_SOURCE_DIR "/zoo/llama-base";
    if (!std::filesystem::exists(folder / "model.safetensors")) GTEST_SKIP() << "zoo/llama-base is not there";
    model_ = std::make_unique<Model>(Model::open(folder));
  }
  std::unique_ptr<Model> model_;
};

TEST_F(DefaultModel, LeadingTripletsAgreeWithLapackOnEveryLayer) {
  for (Index layer = 0; layer < model_->config().layers; ++layer) {
    const LinearizedLayer linearized(model_->layer(layer), model_->config(), {});
    for (const LinearForm which : {LinearForm::kLayer, LinearForm::kFfn}) {
      const LinearOperator& op = linearized.form(which);
      const DenseSvd exact = dense_svd(form(op));
      const SingularTriplets found = leading_singular(op, {});
      const double ratio = exact.values[0] / exact.values[1];
      SCOPED_TRACE("layer index " + std::to_string(layer) + " gap " + std::to_string(ratio) + " passes " +
                   std::to_string(found.passes) + " residual " + std::to_string(found.residuals[0]));
      const std::vector<double> left(found.left.row(0).begin(), found.left.row(0).end());
      const std::vector<double> right(found.right.row(0).begin(), found.right.row(0).end());
      EXPECT_LE(acute_angle_degrees(left, exact.left.row(0)), found.angle_bound_degrees);
      EXPECT_LE(acute_angle_degrees(right, exact.right.row(0)), found.angle_bound_degrees);
      EXPECT_NEAR(found.values[0], exact.values[0], 1e-5 * exact.values[0]);
      EXPECT_NEAR(found.values[1], exact.values[1], 2e-2 * exact.values[0]);
      if (ratio >= 1.05) {
        EXPECT_TRUE(found.converged);
        EXPECT_LT(acute_angle_degrees(left, exact.left.row(0)), 0.01);
        EXPECT_LT(acute_angle_degrees(right, exact.right.row(0)), 0.01);
      }
      if (ratio >= 1.2) {
        EXPECT_LE(found.passes, 24);
      }
    }
  }
}

TEST_F(DefaultModel, CertifiedEigenpairsAreAmongLapacks) {
  Index certified = 0;
  for (Index layer = 0; layer < model_->config().layers; ++layer) {
    const LinearizedLayer linearized(model_->layer(layer), model_->config(), {});
    const LinearOperator& op = linearized.form(LinearForm::kResidual);
    const SingularTriplets triplet = leading_singular(linearized.form(LinearForm::kLayer), {});
    const std::vector<double> start(triplet.left.row(0).begin(), triplet.left.row(0).end());
    const EigenPair found = nearest_eigenpair(op, start, {.measure_condition = true});
    if (!found.certified) continue;
    ++certified;
    double nearest = 1e300;
    const double condition = found.condition.value_or(100);
    const EigenPair* twin = nullptr;
    const std::vector<EigenPair> all = dense_eigenpairs(form(op));
    for (const EigenPair& pair : all)
      if (std::abs(pair.value - found.value) < nearest)
        nearest = std::abs(pair.value - found.value), twin = &pair;
    SCOPED_TRACE("layer index " + std::to_string(layer));
    EXPECT_LE(nearest, 2 * condition * found.residual + 1e-6 * std::abs(found.value));
    EXPECT_NEAR(span_angle_degrees(found, start), span_angle_degrees(*twin, start), 0.5);
  }
  EXPECT_GT(certified, 0);
}

TEST_F(DefaultModel, SharesOfVarianceAreShares) {
  for (Index layer = 0; layer < model_->config().layers; ++layer) {
    const FfnFit fit = fit_ffn(model_->layer(layer), model_->config(), InputCovariance::kGain);
    for (const auto& [linear, quadratic] : {std::pair{fit.linear_share, fit.quadratic_share},
                                            {fit.linear_share_weighted, fit.quadratic_share_weighted}}) {
      EXPECT_GT(linear, 0);
      EXPECT_GT(quadratic, 0);
      EXPECT_LE(linear + quadratic, 1);
    }
  }
}

}  // namespace
}  // namespace defectoscope
