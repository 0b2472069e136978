#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "linearize/activation.h"
#include "linearize/ffn_fit.h"
#include "linearize/test_integration.h"

namespace defectoscope {
namespace {

constexpr Activation kAll[] = {Activation::kSilu,      Activation::kGeluErf, Activation::kGeluTanh,
                               Activation::kQuickGelu, Activation::kRelu,    Activation::kRelu2};

/// All moments from values of σ alone: by Stein's lemma E[σ^(k)] = E[He_k(z) σ] / s^k.
std::array<long double, 7> reference(Activation activation, double mean, double s) {
  const auto m = static_cast<long double>(mean), w = static_cast<long double>(s);
  auto moments = gaussian_integral<7>(
      [&](long double z) -> std::array<long double, 7> {
        const long double f = exact_activation(activation, m + w * z), x = w * z;
        return {f, z * f, (z * z - 1) * f, (z * z - 3) * z * f, f * f, x * f * f, x * x * f * f};
      },
      m, w);
  for (int k = 1; k < 4; ++k) moments[static_cast<std::size_t>(k)] /= std::pow(w, k);
  return moments;
}

std::array<double, 7> as_array(const ActivationMoments& m) {
  return {m.e0, m.e1, m.e2, m.e3, m.square0, m.square1, m.square2};
}

TEST(Integration, OfPolynomialsAgainstTheNormalDensityIsExact) {
  const auto moments = gaussian_integral<4>(
      [](long double z) -> std::array<long double, 4> { return {1, z * z, z * z * z * z, std::abs(z)}; }, 0,
      1);
  EXPECT_LT(std::abs(moments[0] - 1), 1e-17L);
  EXPECT_LT(std::abs(moments[1] - 1), 1e-17L);
  EXPECT_LT(std::abs(moments[2] - 3), 1e-16L);
  EXPECT_LT(std::abs(moments[3] - std::sqrt(2 / std::numbers::pi_v<long double>)), 1e-17L);
}

TEST(ActivationMoments, AgreeWithAdaptiveIntegrationToTenDigits) {
  for (const Activation activation : kAll)
    for (const double s : {0.1, 0.6, 1.0, 2.5, 11.0})
      for (const double mean : {-4.0, -1.3, -0.2, 0.0, 0.7, 3.1, 25.0}) {
        const auto expected = reference(activation, mean, s);
        const auto got = as_array(activation_moments(activation, mean, s * s));
        for (std::size_t k = 0; k < 7; ++k) {
          const auto exact = static_cast<double>(expected[k]);
          // The reference's own rounding: extended precision against the size of what cancels in it.
          const double power =
              k < 4 ? std::pow(s, -static_cast<double>(k)) : std::pow(s, static_cast<double>(k) - 4);
          const double noise = 1e-17 * power * std::max(1.0, std::pow(std::abs(mean) + s, k < 4 ? 2 : 4));
          // Where a moment passes through zero, its terms' rounding stays.
          const double floor = 1e-15 * power * (1 + std::abs(mean) + s);
          EXPECT_NEAR(got[k], exact, 1e-10 * std::abs(exact) + noise + (k < 4 ? floor : 0))
              << "activation " << static_cast<int>(activation) << " moment " << k << " mean " << mean << " s "
              << s;
        }
      }
}

TEST(ActivationMoments, StayRelativelyExactFarInTheTail) {
  for (const Activation activation : kAll)
    for (const double mean : {-6.0, -9.0, -11.0}) {
      const auto expected = reference(activation, mean, 1.0);
      const auto got = as_array(activation_moments(activation, mean, 1.0));
      for (std::size_t k = 0; k < 7; ++k)
        EXPECT_NEAR(got[k] / static_cast<double>(expected[k]), 1.0, 1e-10)
            << "activation " << static_cast<int>(activation) << " moment " << k << " mean " << mean;
    }
}

TEST(ActivationMoments, AgreeWithAnotherLanguagesQuadrature) {
  std::ifstream file(DEFECTOSCOPE_SOURCE_DIR "/src/linearize/testdata/activation_moments.txt");
  ASSERT_TRUE(file);
  const std::map<std::string, Activation> names = {
      {"silu", Activation::kSilu},          {"gelu_erf", Activation::kGeluErf},
      {"gelu_tanh", Activation::kGeluTanh}, {"quick_gelu", Activation::kQuickGelu},
      {"relu", Activation::kRelu},          {"relu2", Activation::kRelu2}};
  int rows = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream fields(line);
    std::string name;
    double mean = 0, variance = 0, expected = 0;
    fields >> name >> mean >> variance;
    for (const double value : as_array(activation_moments(names.at(name), mean, variance))) {
      ASSERT_TRUE(fields >> expected) << line;
      EXPECT_NEAR(value, expected, 1e-10 * std::abs(expected) + 1e-16) << line;
    }
    ++rows;
  }
  EXPECT_EQ(rows, 30);
}

TEST(ActivationMoments, WithoutVarianceAreTheValuesAtTheMean) {
  for (const Activation activation : kAll)
    for (const double mean : {-2.0, 0.5, 3.0}) {
      const ActivationMoments m = activation_moments(activation, mean, 0);
      const auto value = static_cast<double>(exact_activation(activation, static_cast<long double>(mean)));
      EXPECT_NEAR(m.e0, value, 1e-15);
      EXPECT_NEAR(m.square0, value * value, 1e-14);
      EXPECT_EQ(m.square1, 0);
      EXPECT_EQ(m.square2, 0);
      const ActivationMoments tiny = activation_moments(activation, mean, 1e-12);
      EXPECT_NEAR(tiny.e1, m.e1, 1e-10);
      EXPECT_NEAR(tiny.e2, m.e2, 1e-10);
    }
  EXPECT_EQ(activation_moments(Activation::kRelu, 0, 0).e1, 0.5);
}

TEST(ActivationJet, HoldsTheDerivativesOfItsValue) {
  for (const Activation activation : kAll)
    for (const double a : {-7.0, -2.1, -0.3, 0.4, 1.9, 6.0}) {
      const double h = 1e-4;
      const ActivationJet low = activation_jet(activation, a - h), high = activation_jet(activation, a + h);
      const ActivationJet f = activation_jet(activation, a);
      EXPECT_NEAR(f.d0, static_cast<double>(exact_activation(activation, static_cast<long double>(a))),
                  1e-15 * (1 + a * a));
      EXPECT_NEAR(activation_value(activation, a), f.d0, 1e-15 * (1 + a * a));
      EXPECT_NEAR(f.d1, (high.d0 - low.d0) / (2 * h), 1e-7);
      EXPECT_NEAR(f.d2, (high.d1 - low.d1) / (2 * h), 1e-7);
      EXPECT_NEAR(f.d3, (high.d2 - low.d2) / (2 * h), 1e-7);
    }
}

}  // namespace
}  // namespace defectoscope
