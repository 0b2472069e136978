#include "quantize/quantized_linear.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "kernels/gemm_int8.h"
#include "kernels/pointwise.h"
#include "kernels/quantize.h"
#include "kernels/test_support.h"
#include "quantize/input_steps.h"
#include "quantize/simulated_linear.h"
#include "quantize/smoothing.h"

namespace defectoscope {
namespace {

using testing::random_matrix, testing::same_at_any_thread_count, testing::to_vector;

/// What tools/golden_quantize.py computed with PyTorch.
class Golden {
 public:
  Tensor tensor(const std::string& name) const { return file_->tensors().at(name); }
  std::vector<float> floats(const std::string& name) const { return to_f32(tensor(name)); }
  std::vector<std::int8_t> integers(const std::string& name) const {
    const Tensor found = tensor(name);
    const auto* data = reinterpret_cast<const std::int8_t*>(found.data);
    return {data, data + found.elements()};
  }
  Matrix matrix(const std::string& name) const {
    const Tensor found = tensor(name);
    const std::vector<float> values = to_f32(found);
    Matrix result(found.shape[0], found.shape[1]);
    std::ranges::copy(values, result.data());
    return result;
  }
  LinearWeights linear(const char* weight = "w") const {
    return {make_weight_matrix(matrix(weight), weight), floats("bias")};
  }

 private:
  std::shared_ptr<const SafetensorsFile> file_ = SafetensorsFile::open(
      std::string(DEFECTOSCOPE_SOURCE_DIR) + "/src/quantize/testdata/arithmetic.safetensors");
};

std::vector<std::int8_t> to_vector(BasicMatrixView<const std::int8_t> matrix) {
  return {matrix.data(), matrix.data() + matrix.rows() * matrix.cols()};
}

Matrix applied(const LinearWeights& weights, const QuantScheme& scheme, ConstMatrixView x,
               QuantizedLinearOptions options = {}) {
  Matrix y(x.rows(), weights.weight.rows);
  make_quantized_linear(weights, scheme, options)->apply(x, y);
  return y;
}

void expect_near(const std::vector<float>& got, const std::vector<float>& expected, double tolerance) {
  ASSERT_EQ(got.size(), expected.size());
  double size = 0;
  for (const float value : expected) size = std::max(size, std::abs(double{value}));
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], tolerance * size) << "element " << i;
}

TEST(QuantizedLinear, RoundToNearestIsPyTorchsToTheInteger) {
  const Golden golden;
  const Matrix x = golden.matrix("x");
  const struct {
    std::string name;
    QuantScheme scheme;
  } cases[] = {{"rtn.", rtn_scheme()}, {"token.", per_token_scheme()}};
  for (const auto& [name, scheme] : cases) {
    const bool per_output = scheme.weights == Granularity::kChannel;
    const Int8Weight weight = quantize_weight(golden.linear().weight, 127, per_output);
    EXPECT_EQ(weight.steps, golden.floats(name + "w_step"));
    EXPECT_EQ(to_vector(weight.integers), golden.integers(name + "w"));
    const InputSteps steps = input_steps(x, {}, scheme, {}, 127);
    const std::vector<float> expected = golden.floats(name + "x_step");
    for (std::size_t r = 0; r < steps.steps.size(); ++r)
      EXPECT_EQ(steps.steps[r], expected[expected.size() == 1 ? 0 : r]);
    EXPECT_EQ(to_vector(quantize_rows(x, steps.steps, 127).integers), golden.integers(name + "x"));
    expect_near(testing::to_vector(applied(golden.linear(), scheme, x)), golden.floats(name + "y"), 1e-6);
  }
}

TEST(QuantizedLinear, GroupsAndFp8ArePyTorchs) {
  const Golden golden;
  const Matrix x = golden.matrix("x");
  QuantScheme w4;
  w4.weight_bits = 4;
  w4.activation_bits = 16;
  w4.weights = Granularity::kGroup;
  w4.group_size = 8;
  EXPECT_EQ(testing::to_vector(simulated_weight(golden.linear().weight, w4)), golden.floats("w4g8.w"));
  expect_near(testing::to_vector(applied(golden.linear(), w4, x)), golden.floats("w4g8.y"), 1e-6);
  EXPECT_EQ(testing::to_vector(simulated_weight(golden.linear().weight, fp8_scheme())),
            golden.floats("fp8.w"));
  expect_near(testing::to_vector(applied(golden.linear(), fp8_scheme(), x)), golden.floats("fp8.y"), 1e-6);
}

TEST(QuantizedLinear, SmoothQuantIsPyTorchsToTheInteger) {
  const Golden golden;
  const Matrix x = golden.matrix("x"), w = golden.matrix("w"), second = golden.matrix("second");
  const std::vector<float> gain = golden.floats("gain");
  Matrix normed(x.rows(), x.cols());
  rms_norm(x, gain, 1e-5, normed);
  std::vector<float> inputs(40), weights(40);
  raise_column_maxima(normed, inputs);
  raise_column_maxima(w, weights);
  raise_column_maxima(second, weights);
  for (const double alpha : {0.5, 0.8}) {
    const std::string name = alpha == 0.5 ? "smooth0.5." : "smooth0.8.";
    const std::vector<float> s = smoothing_factors(inputs, weights, alpha);
    expect_near(s, golden.floats(name + "s"), 1e-6);
    std::vector<float> folded = gain;
    Matrix scaled = w;
    for (std::size_t j = 0; j < s.size(); ++j) {
      folded[j] /= s[j];
      for (Index r = 0; r < w.rows(); ++r) scaled(r, static_cast<Index>(j)) *= s[j];
    }
    expect_near(folded, golden.floats(name + "gain"), 1e-6);
    rms_norm(x, folded, 1e-5, normed);
    const LinearWeights linear{make_weight_matrix(scaled), golden.floats("bias")};
    EXPECT_EQ(to_vector(quantize_weight(linear.weight, 127, false).integers), golden.integers(name + "w"));
    const InputSteps steps = input_steps(normed, {}, rtn_scheme(), {}, 127);
    EXPECT_EQ(to_vector(quantize_rows(normed, steps.steps, 127).integers), golden.integers(name + "x"));
    expect_near(testing::to_vector(applied(linear, rtn_scheme(), normed)), golden.floats(name + "y"), 1e-6);
  }
}

TEST(QuantizedLinear, SimulationAgreesWithTheIntegersWithinRounding) {
  const Matrix x = random_matrix(70, 200, 1);
  const LinearWeights weights{make_weight_matrix(random_matrix(48, 200, 2), DType::kBF16),
                              std::vector<float>(48, 0.5f)};
  for (const int bits : {2, 4, 8})
    for (const Granularity side : {Granularity::kTensor, Granularity::kChannel})
      for (const bool is_static : {false, true}) {
        if (is_static && side != Granularity::kTensor) continue;
        QuantScheme scheme;
        scheme.weight_bits = scheme.activation_bits = bits;
        scheme.weights = scheme.activations = side;
        scheme.static_activations = is_static;
        QuantScheme simulated = scheme;
        simulated.simulated = true;
        ASSERT_TRUE(runs_on_integers(scheme) && !runs_on_integers(simulated));
        const QuantizedLinearOptions options{.window = 32, .input_max = 2.5f};
        expect_near(testing::to_vector(applied(weights, simulated, x, options)),
                    testing::to_vector(applied(weights, scheme, x, options)), 3e-6);
      }
}

TEST(QuantizedLinear, MoreBitsAreNearerAndSixteenAreExact) {
  const Matrix x = random_matrix(40, 64, 3);
  const LinearWeights weights{make_weight_matrix(random_matrix(24, 64, 4)), {}};
  Matrix exact(40, 24);
  make_dense_linear(weights, ComputeType::kF32)->apply(x, exact);
  double before = 1e9;
  for (int bits = 2; bits <= 15; ++bits) {
    QuantScheme scheme;
    scheme.weight_bits = scheme.activation_bits = bits;
    const Matrix y = applied(weights, scheme, x);
    double error = 0;
    for (Index i = 0; i < 40 * 24; ++i) error += std::pow(y.data()[i] - exact.data()[i], 2);
    EXPECT_LT(error, 0.5 * before) << bits << " bits";
    before = error;
  }
  QuantScheme untouched;
  untouched.weight_bits = untouched.activation_bits = 16;
  EXPECT_EQ(testing::to_vector(applied(weights, untouched, x)), testing::to_vector(exact));
}

TEST(QuantizedLinear, OutlierColumnsAreKeptApartAndTheRestIsPerToken) {
  Matrix x = random_matrix(30, 64, 5);
  for (Index r = 0; r < 30; ++r) x(r, 17) *= 40;
  const Matrix w = random_matrix(24, 64, 6);
  const LinearWeights weights{make_weight_matrix(w), std::vector<float>(24, 1.0f)};
  const Matrix got = applied(weights, llm_int8_scheme(), x);
  // By hand: column 17 in full precision, the others on integers with their own steps.
  Matrix rest = x;
  for (Index r = 0; r < 30; ++r) rest(r, 17) = 0;
  Matrix expected = applied(weights, per_token_scheme(), rest);
  for (Index r = 0; r < 30; ++r)
    for (Index o = 0; o < 24; ++o) expected(r, o) += x(r, 17) * w(o, 17);
  expect_near(testing::to_vector(got), testing::to_vector(expected), 1e-6);
  QuantScheme never = llm_int8_scheme();
  never.outlier_threshold = 1e6;
  EXPECT_EQ(testing::to_vector(applied(weights, never, x)),
            testing::to_vector(applied(weights, per_token_scheme(), x)));
}

TEST(QuantizedLinear, WindowsOfOneCallAreQuantizedAsIfAlone) {
  Matrix x = random_matrix(50, 32, 7);
  for (Index c = 0; c < 32; ++c) x(21, c) *= 100;
  const LinearWeights weights{make_weight_matrix(random_matrix(16, 32, 8)), {}};
  for (const QuantScheme& scheme : {rtn_scheme(), llm_int8_scheme(), fp8_scheme()}) {
    const auto together = same_at_any_thread_count(
        [&] { return testing::to_vector(applied(weights, scheme, x, {.window = 20})); });
    std::vector<float> alone;
    for (const auto& [first, count] : {std::pair<Index, Index>{0, 20}, {20, 20}, {40, 10}}) {
      const auto part = testing::to_vector(applied(weights, scheme, x.view().block_rows(first, count)));
      alone.insert(alone.end(), part.begin(), part.end());
    }
    expect_near(together, alone, 1e-7);
  }
}

TEST(QuantizedLinear, NanStaysWithItsTokenAndSparesTheOthers) {
  const Matrix x = random_matrix(12, 40, 9);
  const LinearWeights weights{make_weight_matrix(random_matrix(8, 40, 10)), {}};
  for (const QuantScheme& scheme : {rtn_scheme(), per_token_scheme(), fp8_scheme()}) {
    Matrix broken = x;
    broken(5, 33) = std::numeric_limits<float>::quiet_NaN();
    Matrix zeroed = x;
    for (Index c = 0; c < 40; ++c) zeroed(5, c) = 0;
    const Matrix got = applied(weights, scheme, broken), expected = applied(weights, scheme, zeroed);
    for (Index r = 0; r < 12; ++r)
      for (Index o = 0; o < 8; ++o) {
        if (r == 5)
          EXPECT_TRUE(std::isnan(got(r, o)));
        else
          EXPECT_EQ(got(r, o), expected(r, o));
      }
  }
}

TEST(QuantScheme, WhatMakesNoSenseIsRefused) {
  const auto refused = [](auto change) {
    QuantScheme scheme;
    change(scheme);
    EXPECT_THROW(check_scheme(scheme), Error);
  };
  refused([](QuantScheme& s) { s.weight_bits = 1; });
  refused([](QuantScheme& s) { s.activation_bits = 17; });
  refused([](QuantScheme& s) { s.group_size = 0; });
  refused([](QuantScheme& s) { s.format = NumberFormat::kE4M3, s.weight_bits = 4; });
  refused([](QuantScheme& s) { s.static_activations = true, s.activations = Granularity::kChannel; });
  refused([](QuantScheme& s) { s.outlier_threshold = 6, s.weight_bits = 12; });
  EXPECT_THROW(smoothing_factors({}, {}, -0.1), Error);
  EXPECT_THROW(smoothing_factors({}, {}, 1.1), Error);
}

}  // namespace
}  // namespace defectoscope
