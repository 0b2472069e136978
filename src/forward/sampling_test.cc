#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/parallel.h"
#include "forward/golden.h"
#include "forward/transformer.h"

namespace defectoscope {
namespace {

/// So small a model is sure of itself; this is warm enough for variety.
constexpr double kWarm = 8;

class Sampling : public ::testing::Test {
 protected:
  Model model_ = open_golden(read_golden("llama"));
  Transformer transformer_{model_};
};

TEST_F(Sampling, GreedyTokensAreTheWholePasssBest) {
  const std::vector<TokenIds> sampled = transformer_.sample({{5}, {9, 10, 11}}, 12, 0, 1);
  for (const TokenIds& sequence : sampled) {
    const std::size_t start = sequence[0] == 5 ? 1 : 3;
    const std::vector<Matrix> states = transformer_.hidden_states(sequence);
    Matrix logits(states.back().rows(), 61);
    transformer_.logits(states.back(), logits);
    for (std::size_t i = start; i < sequence.size(); ++i) {
      const auto row = logits.row(static_cast<Index>(i) - 1);
      EXPECT_EQ(sequence[i], std::max_element(row.begin(), row.end()) - row.begin());
    }
  }
}

TEST_F(Sampling, SeedDecidesAndThreadsDoNot) {
  const std::vector<TokenIds> starts(20, TokenIds{7});
  const int before = thread_count();
  set_thread_count(1);
  const std::vector<TokenIds> expected = transformer_.sample(starts, 16, kWarm, 3);
  for (const int threads : {2, 4}) {
    set_thread_count(threads);
    EXPECT_EQ(transformer_.sample(starts, 16, kWarm, 3), expected);
  }
  set_thread_count(before);
  EXPECT_NE(expected[0], expected[1]);
  EXPECT_NE(transformer_.sample(starts, 16, kWarm, 4), expected);
}

TEST_F(Sampling, ShortMemoryChangesNothing) {
  const std::vector<TokenIds> starts = {{7}, {8, 9}, {3}, {4}};
  const Transformer narrow(model_, {.linear = {}, .kv_cache_bytes = 1});
  EXPECT_EQ(narrow.sample(starts, 10, kWarm, 5), transformer_.sample(starts, 10, kWarm, 5));
}

TEST_F(Sampling, EndTokenEndsASequenceAndIsKept) {
  const std::vector<TokenIds> sampled = transformer_.sample(std::vector<TokenIds>(64, {7}), 40, kWarm, 0);
  Index ended = 0;
  for (const TokenIds& sequence : sampled) {
    const auto end = std::find(sequence.begin() + 1, sequence.end(), 2);
    if (end == sequence.end()) {
      EXPECT_EQ(sequence.size(), 40u);
    } else {
      EXPECT_EQ(end + 1, sequence.end());
      ++ended;
    }
  }
  EXPECT_GT(ended, 0);
}

TEST_F(Sampling, TokensFollowTheModelsProbabilities) {
  const std::vector<Matrix> states = transformer_.hidden_states({7});
  Matrix logits(1, 61);
  transformer_.logits(states.back(), logits);
  const double temperature = 2;
  std::vector<double> probability(61);
  double total = 0;
  for (std::size_t i = 0; i < 61; ++i) total += probability[i] = std::exp(logits.data()[i] / temperature);
  constexpr int kDraws = 4000;
  std::map<std::int32_t, int> counts;
  for (const TokenIds& sequence : transformer_.sample(std::vector<TokenIds>(kDraws, {7}), 2, temperature, 11))
    ++counts[sequence[1]];
  for (std::int32_t i = 0; i < 61; ++i) {
    const double p = probability[static_cast<std::size_t>(i)] / total;
    EXPECT_NEAR(counts[i], kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p)) + 1) << "token " << i;
  }
}

TEST_F(Sampling, StartsAsLongAsAskedAreLeftAlone) {
  EXPECT_EQ(transformer_.sample({{1, 2, 3}}, 3, 1, 0), std::vector<TokenIds>({{1, 2, 3}}));
  EXPECT_THROW(transformer_.sample({{1}}, 3, -1, 0), Error);
}

}  // namespace
}  // namespace defectoscope
