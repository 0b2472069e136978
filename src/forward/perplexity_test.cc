#include "forward/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "forward/golden.h"

namespace defectoscope {
namespace {

using ::testing::HasSubstr;

/// −ln p(next token) of every row but the last, by plain sums over logits.
std::vector<double> plain_losses(ConstMatrixView logits, const TokenIds& tokens) {
  std::vector<double> losses;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    const auto row = logits.row(static_cast<Index>(i));
    double total = 0;
    for (const float logit : row) total += std::exp(double{logit});
    losses.push_back(std::log(total) - row[static_cast<std::size_t>(tokens[i + 1])]);
  }
  return losses;
}

double sum(const std::vector<double>& values, std::size_t first = 0) {
  double total = 0;
  for (std::size_t i = first; i < values.size(); ++i) total += values[i];
  return total;
}

class PerplexityOfLlama : public ::testing::Test {
 protected:
  std::vector<double> losses_of(const TokenIds& tokens) const {
    const Matrix states = transformer_.final_states(Batch(std::vector<TokenIds>{tokens}));
    Matrix logits(states.rows(), model_.config().vocab_size);
    transformer_.logits(states, logits);
    return plain_losses(logits, tokens);
  }
  TokenIds part(std::size_t begin, std::size_t count) const {
    const auto from = text_.begin() + static_cast<std::ptrdiff_t>(begin);
    return {from, from + static_cast<std::ptrdiff_t>(count)};
  }
  std::string message_of(const WindowOptions& options) const {
    try {
      perplexity(transformer_, text_, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  Golden golden_ = read_golden("llama");
  Model model_ = open_golden(golden_);
  Transformer transformer_{model_};
  TokenIds text_ = [] {
    TokenIds tokens;
    for (std::int32_t i = 0; i < 50; ++i) tokens.push_back((i * i * 7 + 3 * i) % 61);
    return tokens;
  }();
};

TEST_F(PerplexityOfLlama, AgreesWithTransformersLogits) {
  const TokenIds& tokens = golden_.sequences[0];
  const Perplexity result = perplexity(transformer_, tokens, {.window = static_cast<Index>(tokens.size())});
  const std::vector<double> expected = plain_losses(golden_.logits[0], tokens);
  EXPECT_EQ(result.targets, static_cast<Index>(tokens.size()) - 1);
  EXPECT_NEAR(result.mean_loss, sum(expected) / static_cast<double>(expected.size()),
              1e-5 * result.mean_loss);
  EXPECT_DOUBLE_EQ(result.perplexity, std::exp(result.mean_loss));
}

TEST_F(PerplexityOfLlama, WindowsSideBySideAreScoredAlone) {
  const Perplexity result = perplexity(transformer_, text_, {.window = 16, .rows_at_once = 32});
  ASSERT_EQ(result.windows.size(), 3u);
  EXPECT_EQ(result.targets, 3 * 15);
  EXPECT_EQ(result.left_out, 2);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(result.windows[i].begin, static_cast<Index>(16 * i));
    EXPECT_NEAR(result.windows[i].loss, sum(losses_of(part(16 * i, 16))), 1e-4);
  }
}

TEST_F(PerplexityOfLlama, OverlappingWindowsScoreEveryTokenOnce) {
  const Perplexity result = perplexity(transformer_, text_, {.window = 20, .stride = 5});
  ASSERT_EQ(result.windows.size(), 7u);
  EXPECT_EQ(result.left_out, 0);
  EXPECT_EQ(result.targets, 49);
  EXPECT_NEAR(result.windows[0].loss, sum(losses_of(part(0, 20))), 1e-4);
  for (std::size_t i = 1; i < 7; ++i) {
    EXPECT_EQ(result.windows[i].targets, 5);
    // Losses 14 to 18 of a window are those of its tokens 15 to 19.
    EXPECT_NEAR(result.windows[i].loss, sum(losses_of(part(5 * i, 20)), 14), 1e-4);
  }
}

TEST_F(PerplexityOfLlama, ContinuedRunsGiveTheSameNumbers) {
  const WindowOptions options{.window = 8, .rows_at_once = 16};
  std::vector<WindowLoss> seen;
  const auto keep = [&](std::span<const WindowLoss> windows) {
    seen.insert(seen.end(), windows.begin(), windows.end());
  };
  const Perplexity whole = perplexity(transformer_, text_, options, {}, keep);
  EXPECT_EQ(seen, whole.windows);
  for (std::size_t kept = 0; kept <= whole.windows.size(); ++kept) {
    const std::vector<WindowLoss> done(whole.windows.begin(),
                                       whole.windows.begin() + static_cast<std::ptrdiff_t>(kept));
    seen = done;
    EXPECT_EQ(perplexity(transformer_, text_, options, done, keep).windows, whole.windows);
    EXPECT_EQ(seen, whole.windows) << "the windows reported continue those done";
  }
}

TEST_F(PerplexityOfLlama, ModelsAgreeWithThemselvesAndShiftWithRoundedWeights) {
  const WindowOptions options{.window = 10};
  const PredictionShift same = compare_predictions(transformer_, transformer_, text_, options);
  EXPECT_EQ(same.mean_kl, 0);
  EXPECT_EQ(same.top1_agreement, 1);
  EXPECT_EQ(same.reference.windows, perplexity(transformer_, text_, options).windows);

  const Model other_model = open_golden(read_golden("llama_linear"));
  const Transformer other(other_model);
  const PredictionShift shift = compare_predictions(transformer_, other, text_, options);
  double expected = 0;
  for (std::size_t window = 0; window < 5; ++window) {
    const Batch batch(std::vector<TokenIds>{part(10 * window, 10)});
    Matrix p(10, 61), q(10, 61);
    transformer_.logits(transformer_.final_states(batch), p);
    other.logits(other.final_states(batch), q);
    for (Index row = 0; row < 9; ++row) {
      double sum_p = 0, sum_q = 0;
      for (Index i = 0; i < 61; ++i) {
        sum_p += std::exp(double{p(row, i)});
        sum_q += std::exp(double{q(row, i)});
      }
      for (Index i = 0; i < 61; ++i) {
        const double probability = std::exp(double{p(row, i)}) / sum_p;
        expected += probability * std::log(probability / (std::exp(double{q(row, i)}) / sum_q));
      }
    }
  }
  EXPECT_NEAR(shift.mean_kl, expected / 45, 1e-5 * shift.mean_kl);
  EXPECT_GT(shift.mean_kl, 0.1);
  EXPECT_LT(shift.top1_agreement, 0.5);
}

TEST_F(PerplexityOfLlama, SizesThatMakeNoSenseAreRefused) {
  EXPECT_THAT(message_of({.window = 51}), HasSubstr("shorter than one window"));
  EXPECT_THAT(message_of({.window = 1}), HasSubstr("at least 2"));
  EXPECT_THAT(message_of({.window = 8, .stride = 9}), HasSubstr("got 9"));
  text_.resize(200, 5);
  EXPECT_THAT(message_of({.window = 129}), HasSubstr("context of 128"));
  EXPECT_EQ(message_of({.window = 129, .beyond_context = true}), "");

  const Model gpt2 = open_golden(read_golden("gpt2"));
  EXPECT_THROW(perplexity(Transformer(gpt2), text_, {.window = 65, .beyond_context = true}), Error);
}

TEST_F(PerplexityOfLlama, ModelsThatSeeTheirTargetsAreRefused) {
  const Model encoder = open_golden(read_golden("bert"));
  EXPECT_THROW(perplexity(Transformer(encoder), text_, {.window = 10}), Error);
}

}  // namespace
}  // namespace defectoscope
