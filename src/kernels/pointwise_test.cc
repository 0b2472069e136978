#include "kernels/pointwise.h"

#include <cmath>
#include <functional>
#include <limits>

#include "kernels/sign_bits.h"
#include "kernels/test_support.h"

namespace defectoscope {
namespace {

using testing::kEps, testing::on_every_target, testing::random_matrix, testing::same_at_any_thread_count;
using testing::to_vector;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Every magnitude an activation meets: dense around 0, tails, zeros and tiny values.
std::vector<float> sweep() {
  std::vector<float> values = {0.0f, -0.0f, 1e-30f, -1e-30f, 1e-6f, -1e-6f, 200.0f, -200.0f, 1e10f, -1e10f};
  for (int i = -3000; i <= 3000; ++i) values.push_back(static_cast<float>(i) * 0.00437f);
  for (int i = -100; i <= 100; ++i) values.push_back(static_cast<float>(i) * 0.5f);
  return values;
}

/// |got − expected| in units of eps of the expected value; `exponent` is the argument of the exponential
/// inside, whose own rounding the tail cannot escape.
void expect_activation(void (*function)(std::span<float>), const std::function<double(double)>& expected,
                       const std::function<double(double)>& exponent, double ulps) {
  on_every_target([&] {
    const std::vector<float> input = sweep();
    const std::vector<float> got = same_at_any_thread_count([&] {
      std::vector<float> x = input;
      function(x);
      return x;
    });
    double worst = 0, at = 0;
    for (std::size_t i = 0; i < input.size(); ++i) {
      const double x = static_cast<double>(input[i]), y = expected(x);
      const double unit = std::abs(y) * (1 + std::abs(exponent(x)) / 2) * kEps + 1e-36;
      const double error = std::abs(static_cast<double>(got[i]) - y) / unit;
      if (!(error <= worst)) worst = error, at = x;
    }
    EXPECT_LE(worst, ulps) << "at " << at;
  });
}

double zero(double) { return 0; }

TEST(Activations, SiluIsAccurateFromTailToTail) {
  expect_activation(silu, [](double x) { return x / (1 + std::exp(-x)); }, zero, 8);
}
TEST(Activations, QuickGeluIsAccurateFromTailToTail) {
  constexpr double kFactor = static_cast<double>(1.702f);
  expect_activation(
      quick_gelu, [](double x) { return x / (1 + std::exp(-kFactor * x)); },
      [](double x) { return x < 0 ? kFactor * x : 0; }, 8);
}
TEST(Activations, GeluErfIsAccurateFromTailToTail) {
  expect_activation(
      gelu_erf, [](double x) { return x * 0.5 * std::erfc(-x * M_SQRT1_2); },
      [](double x) { return x < 0 ? x * x / 2 : 0; }, 8);
}
TEST(Activations, GeluTanhIsAccurateFromTailToTail) {
  const auto twice = [](double x) { return 2 * std::sqrt(M_2_PI) * (x + 0.044715 * x * x * x); };
  expect_activation(
      gelu_tanh, [twice](double x) { return x / (1 + std::exp(-twice(x))); },
      [twice](double x) { return x < 0 ? 3 * twice(x) : 0; }, 8);
}
TEST(Activations, ReluAndItsSquareAreExact) {
  expect_activation(relu, [](double x) { return std::max(x, 0.0); }, zero, 0);
  expect_activation(relu2, [](double x) { return std::max(x, 0.0) * std::max(x, 0.0); }, zero, 1);
}

TEST(Activations, FarInputsBecomeThemselvesOrZeroNeverNaN) {
  on_every_target([] {
    for (auto* function : {&silu, &gelu_erf, &gelu_tanh, &quick_gelu}) {
      std::vector<float> x = {3e38f, -3e38f, 1000.0f, -1000.0f, 104.5f, -104.5f};
      function(x);
      EXPECT_EQ(x[0], 3e38f);
      EXPECT_EQ(x[2], 1000.0f);
      EXPECT_EQ(x[4], 104.5f);
      for (const std::size_t i : {1u, 3u, 5u}) EXPECT_LE(std::abs(x[i]), 1e-35f);
    }
  });
}

TEST(Activations, AValueDoesNotDependOnItsPlace) {
  on_every_target([] {
    for (auto* function : {&silu, &gelu_erf, &gelu_tanh, &quick_gelu}) {
      std::vector<float> row(37, 0.7312f);
      function(row);
      for (const float value : row) EXPECT_EQ(value, row[0]);
    }
  });
}

TEST(Activations, MultiplyAndAddAreElementwise) {
  on_every_target([] {
    for (const Index n : {1, 16, 33, 40000}) {
      const Matrix a = random_matrix(1, n, 1), b = random_matrix(1, n, 2);
      Matrix product = a, sum = a;
      multiply(product.row(0), b.row(0));
      add(sum.row(0), b.row(0));
      for (Index i = 0; i < n; ++i) {
        EXPECT_EQ(product(0, i), a(0, i) * b(0, i));
        EXPECT_EQ(sum(0, i), a(0, i) + b(0, i));
      }
    }
  });
}

TEST(Norms, RmsNormAgreesWithDoubleLoop) {
  on_every_target([] {
    for (const Index cols : {1, 15, 64, 257}) {
      const Matrix memory = random_matrix(70, cols + 3, 5), gain = random_matrix(1, cols, 6);
      const ConstMatrixView x(memory.data() + 1, 70, cols, cols + 3);
      const std::vector<float> got = same_at_any_thread_count([&] {
        Matrix out(70, cols);
        rms_norm(x, gain.row(0), 1e-5, out);
        return to_vector(out);
      });
      for (Index r = 0; r < 70; ++r) {
        double sum = 0;
        for (const float value : x.row(r)) sum += static_cast<double>(value) * static_cast<double>(value);
        const double factor = 1 / std::sqrt(sum / static_cast<double>(cols) + 1e-5);
        for (Index c = 0; c < cols; ++c) {
          const double expected = static_cast<double>(x(r, c)) * factor * static_cast<double>(gain(0, c));
          EXPECT_NEAR(static_cast<double>(got[static_cast<std::size_t>(r * cols + c)]), expected,
                      4 * kEps * std::abs(expected));
        }
      }
    }
  });
}

TEST(Norms, LayerNormAgreesWithDoubleLoopEvenFarFromZero) {
  on_every_target([] {
    for (const Index cols : {2, 15, 64, 257})
      for (const bool shifted : {false, true}) {
        Matrix x = random_matrix(9, cols, 7);
        for (Index i = 0; i < 9 * cols; ++i) x.data()[i] += 100.0f;
        const Matrix gain = random_matrix(1, cols, 8), shift = random_matrix(1, cols, 9);
        Matrix out = x;
        layer_norm(out, gain.row(0), shifted ? shift.row(0) : std::span<const float>(), 1e-5, out);
        for (Index r = 0; r < 9; ++r) {
          double mean = 0, variance = 0;
          for (const float value : x.row(r)) mean += static_cast<double>(value) / static_cast<double>(cols);
          for (const float value : x.row(r))
            variance += std::pow(static_cast<double>(value) - mean, 2) / static_cast<double>(cols);
          const double factor = 1 / std::sqrt(variance + 1e-5);
          for (Index c = 0; c < cols; ++c) {
            const double expected =
                (static_cast<double>(x(r, c)) - mean) * factor * static_cast<double>(gain(0, c)) +
                (shifted ? static_cast<double>(shift(0, c)) : 0);
            // The mean itself is rounded to f32 before it is subtracted.
            const double unit = kEps * (4 * std::abs(expected) + 4 +
                                        100 * factor * std::abs(static_cast<double>(gain(0, c))));
            EXPECT_NEAR(static_cast<double>(out(r, c)), expected, unit);
          }
        }
      }
  });
}

TEST(Softmax, AgreesWithDoubleLoopAndSumsToOne) {
  on_every_target([] {
    for (const Index n : {1, 2, 15, 16, 17, 1000, 5000}) {
      const Matrix scores = random_matrix(1, n, 10);
      Matrix got = scores;
      for (Index i = 0; i < n; ++i) got(0, i) = scores(0, i) * 10;
      const Matrix scaled = got;
      softmax(got.row(0));
      double maximum = -1e300, sum = 0, total = 0;
      for (const float s : scaled.row(0)) maximum = std::max(maximum, static_cast<double>(s));
      for (const float s : scaled.row(0)) sum += std::exp(static_cast<double>(s) - maximum);
      for (Index i = 0; i < n; ++i) {
        const double distance = static_cast<double>(scaled(0, i)) - maximum;
        const double expected = std::exp(distance) / sum;
        EXPECT_NEAR(static_cast<double>(got(0, i)), expected,
                    expected * kEps * (16 + std::abs(distance)) + 1e-37);
        total += static_cast<double>(got(0, i));
      }
      EXPECT_NEAR(total, 1, 16 * kEps);
    }
  });
}

TEST(Softmax, MaskedEntriesAreZeroAndAMaskedRowIsZeros) {
  on_every_target([] {
    std::vector<float> row(21, -kInfinity);
    row[3] = 2;
    row[20] = 2;
    softmax(row);
    for (std::size_t i = 0; i < row.size(); ++i) EXPECT_EQ(row[i], i == 3 || i == 20 ? 0.5f : 0.0f);
    std::vector<float> nothing(19, -kInfinity);
    softmax(nothing);
    EXPECT_EQ(nothing, std::vector<float>(19, 0.0f));
    softmax(std::span<float>());
  });
}

TEST(Sums, DotAndNormAreSummedInDouble) {
  on_every_target([] {
    for (const Index n : {0, 1, 7, 8, 31, 32, 33, 4097}) {
      const Matrix x = random_matrix(1, n, 12), y = random_matrix(1, n, 13);
      double expected = 0, size = 0, square = 0;
      for (Index i = 0; i < n; ++i) {
        expected += static_cast<double>(x(0, i)) * static_cast<double>(y(0, i));
        size += std::abs(static_cast<double>(x(0, i)) * static_cast<double>(y(0, i)));
        square += static_cast<double>(x(0, i)) * static_cast<double>(x(0, i));
      }
      EXPECT_NEAR(dot(x.row(0), y.row(0)), expected, size * 1e-14);
      EXPECT_NEAR(norm(x.row(0)), std::sqrt(square), std::sqrt(square) * 1e-14);
    }
    // A hundred thousand ones beside a giant: lost in f32, kept in f64.
    std::vector<float> x(100001, 1.0f);
    x[0] = 1e9f;
    EXPECT_EQ(dot(x, std::vector<float>(x.size(), 1.0f)), 1e9 + 1e5);
  });
}

TEST(SignBits, FarthestFromHalfIsThatOfThePlainLoop) {
  std::mt19937_64 generator(11);
  for (const std::size_t planes : {1u, 2u})
    for (const std::size_t rows : {1u, 2u, 3u, 7u, 32u}) {
      constexpr std::size_t kOthers = 5;
      std::vector<std::uint64_t> a(planes * rows * kSignWords), b(planes * kOthers * kSignWords);
      for (auto* words : {&a, &b})
        for (std::uint64_t& word : *words) word = generator();
      const auto word = [&](const std::vector<std::uint64_t>& of, std::size_t plane, std::size_t row,
                            std::size_t w) { return of[plane * of.size() / planes + row * kSignWords + w]; };
      const auto plain = [&] {
        int farthest = 0;
        for (std::size_t i = 0; i < rows; ++i)
          for (std::size_t k = 0; k < kOthers; ++k) {
            int same = 0;
            for (std::size_t plane = 0; plane < planes; ++plane)
              for (std::size_t bit = 0; bit < 128; ++bit)
                same +=
                    ((word(a, plane, i, bit / 64) ^ word(b, plane, k, bit / 64)) >> bit % 64) & 1 ? -1 : 1;
            farthest = std::max(farthest, std::abs(same));
          }
        return farthest;
      };
      on_every_target([&] { EXPECT_EQ(farthest_from_half(a, b, planes), plain()) << rows; });
      // The last row becomes the first of b with the other sign.
      for (std::size_t plane = 0; plane < planes; ++plane)
        for (std::size_t w = 0; w < kSignWords; ++w)
          a[plane * rows * kSignWords + (rows - 1) * kSignWords + w] = ~word(b, plane, 0, w);
      on_every_target(
          [&] { EXPECT_EQ(farthest_from_half(a, b, planes), static_cast<int>(128 * planes)) << rows; });
    }
  EXPECT_EQ(farthest_from_half({}, std::vector<std::uint64_t>(2), 1), 0);
}

}  // namespace
}  // namespace defectoscope
