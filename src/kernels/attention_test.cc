#include "kernels/attention.h"

#include <cmath>

#include "kernels/test_support.h"

namespace defectoscope {
namespace {

using testing::on_every_target, testing::random_matrix, testing::same_at_any_thread_count, testing::to_vector;

struct Reference {
  DoubleMatrix out;
  std::vector<double> received;
  std::vector<Index> counts;
};

bool sees(const AttentionParameters& p, Index query, Index key) {
  if (p.causal && key > query) return false;
  return p.window == 0 || std::abs(query - key) < p.window;
}

Reference reference(const AttentionParameters& p, ConstMatrixView q, ConstMatrixView k, ConstMatrixView v) {
  const auto keys = static_cast<std::size_t>(k.rows());
  Reference result{DoubleMatrix(q.rows(), q.cols()), std::vector<double>(keys), std::vector<Index>(keys)};
  for (Index i = 0; i < q.rows(); ++i) {
    const Index position = p.offset + i;
    for (Index h = 0; h < p.heads; ++h) {
      const Index group = h / (p.heads / p.kv_heads);
      std::vector<double> weight(keys);
      double sum = 0;
      for (Index j = 0; j < k.rows(); ++j) {
        if (!sees(p, position, j)) continue;
        double score = 0;
        for (Index c = 0; c < p.head_dim; ++c)
          score += static_cast<double>(q(i, h * p.head_dim + c)) *
                   static_cast<double>(k(j, group * p.head_dim + c));
        score *= static_cast<double>(p.scale);
        if (p.soft_cap > 0)
          score = static_cast<double>(p.soft_cap) * std::tanh(score / static_cast<double>(p.soft_cap));
        if (!p.alibi_slopes.empty())
          score -= static_cast<double>(p.alibi_slopes[static_cast<std::size_t>(h)]) *
                   static_cast<double>(std::abs(position - j));
        weight[static_cast<std::size_t>(j)] = std::exp(score);
        sum += weight[static_cast<std::size_t>(j)];
      }
      for (Index j = 0; j < k.rows(); ++j) {
        if (!sees(p, position, j)) continue;
        const double probability = weight[static_cast<std::size_t>(j)] / sum;
        if (j != position) result.received[static_cast<std::size_t>(j)] += probability;
        for (Index c = 0; c < p.head_dim; ++c)
          result.out(i, h * p.head_dim + c) +=
              probability * static_cast<double>(v(j, group * p.head_dim + c));
      }
    }
    for (Index j = 0; j < k.rows(); ++j)
      if (j != position && sees(p, position, j)) ++result.counts[static_cast<std::size_t>(j)];
  }
  return result;
}

void expect_agrees(const AttentionParameters& p, Index queries, Index keys) {
  SCOPED_TRACE("queries " + std::to_string(queries) + " keys " + std::to_string(keys) + " window " +
               std::to_string(p.window) + (p.causal ? " causal" : "") + " kv_heads " +
               std::to_string(p.kv_heads));
  const Index q_cols = p.heads * p.head_dim, kv_cols = p.kv_heads * p.head_dim;
  // Strides as in a fused QKV buffer.
  const Matrix q_memory = random_matrix(queries, q_cols + 5, 1),
               kv_memory = random_matrix(keys, 2 * kv_cols + 3, 2);
  const ConstMatrixView q(q_memory.data(), queries, q_cols, q_cols + 5);
  const ConstMatrixView k(kv_memory.data(), keys, kv_cols, 2 * kv_cols + 3);
  const ConstMatrixView v(kv_memory.data() + kv_cols, keys, kv_cols, 2 * kv_cols + 3);
  const Reference expected = reference(p, q, k, v);

  std::vector<float> received(static_cast<std::size_t>(keys));
  const std::vector<float> got = same_at_any_thread_count([&] {
    Matrix out(queries, q_cols);
    attention(p, q, k, v, out);
    return to_vector(out);
  });
  const std::vector<float> both = same_at_any_thread_count([&] {
    Matrix out(queries, q_cols);
    attention(p, q, k, v, out, received);
    std::vector<float> values = to_vector(out);
    values.insert(values.end(), received.begin(), received.end());
    return values;
  });
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i], both[i]);
    EXPECT_NEAR(static_cast<double>(got[i]), expected.out.data()[i], 2e-5);
  }
  std::vector<Index> counts(static_cast<std::size_t>(keys));
  attention_query_counts(p, queries, counts);
  EXPECT_EQ(counts, expected.counts);
  for (std::size_t j = 0; j < received.size(); ++j)
    EXPECT_NEAR(static_cast<double>(received[j]), expected.received[j], 1e-5 * (1 + expected.received[j]));
}

TEST(Attention, CausalAgreesWithPlainLoopAcrossBlockBorders) {
  for (const Index tokens : {1, 2, 63, 64, 65, 200})
    expect_agrees({.heads = 3, .kv_heads = 3, .head_dim = 16, .scale = 0.25f}, tokens, tokens);
}

TEST(Attention, GroupedQueriesShareTheirKeys) {
  for (const Index kv_heads : {1, 2, 6})
    expect_agrees({.heads = 6, .kv_heads = kv_heads, .head_dim = 20, .scale = 0.3f}, 70, 70);
}

TEST(Attention, NewestQueriesOverACache) {
  for (const Index queries : {1, 3, 70})
    expect_agrees({.heads = 4, .kv_heads = 2, .head_dim = 16, .scale = 0.25f, .offset = 130}, queries,
                  130 + queries);
}

TEST(Attention, SlidingWindowHidesOldKeys) {
  for (const Index window : {1, 7, 64, 500})
    for (const bool causal : {true, false}) {
      expect_agrees(
          {.heads = 2, .kv_heads = 1, .head_dim = 8, .scale = 0.4f, .causal = causal, .window = window}, 150,
          150);
      expect_agrees({.heads = 2,
                     .kv_heads = 1,
                     .head_dim = 8,
                     .scale = 0.4f,
                     .causal = causal,
                     .offset = 40,
                     .window = window},
                    10, 50);
    }
}

TEST(Attention, WithoutCausalityEveryKeyIsSeen) {
  expect_agrees({.heads = 2, .kv_heads = 2, .head_dim = 16, .scale = 0.25f, .causal = false}, 90, 90);
}

TEST(Attention, AlibiAndSoftCap) {
  const std::vector<float> slopes = {0.5f, 0.25f};
  expect_agrees({.heads = 2, .kv_heads = 2, .head_dim = 16, .scale = 0.25f, .alibi_slopes = slopes}, 90, 90);
  expect_agrees({.heads = 2, .kv_heads = 2, .head_dim = 16, .scale = 1.0f, .soft_cap = 3.0f}, 90, 90);
}

TEST(Attention, EveryInstructionSet) {
  on_every_target([] { expect_agrees({.heads = 2, .kv_heads = 1, .head_dim = 16, .scale = 0.25f}, 75, 75); });
}

TEST(Attention, OverwritesItsQueriesWhereAsked) {
  const AttentionParameters p{.heads = 3, .kv_heads = 1, .head_dim = 16, .scale = 0.25f};
  Matrix q = random_matrix(100, 48, 1);
  const Matrix k = random_matrix(100, 16, 2), v = random_matrix(100, 16, 3);
  Matrix out(100, 48);
  attention(p, q, k, v, out);
  attention(p, q, k, v, q);
  EXPECT_EQ(to_vector(q), to_vector(out));
}

TEST(Attention, ALoneTokenReturnsItsValueAndReceivesNothing) {
  const Matrix q = random_matrix(1, 8, 1), k = random_matrix(1, 8, 2), v = random_matrix(1, 8, 3);
  Matrix out(1, 8);
  std::vector<float> received(1, 9.0f);
  attention({.heads = 2, .kv_heads = 2, .head_dim = 4}, q, k, v, out, received);
  EXPECT_EQ(to_vector(out), to_vector(v));
  EXPECT_EQ(received[0], 0.0f);
}

}  // namespace
}  // namespace defectoscope
