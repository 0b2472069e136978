#include "reproduce/reproduce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "analysis/test_zoo.h"
#include "base/error.h"
#include "base/parallel.h"
#include "tokenizer/text_rows.h"

namespace defectoscope {
namespace {

using testing::AllOf, testing::HasSubstr;

/// Small products: threads that wait for each other would take most of the time.
class Reproduce : public testing::Test {
 protected:
  Reproduce() { set_thread_count(1); }
  ~Reproduce() override { set_thread_count(before_); }

 private:
  int before_ = thread_count();
};

Reproduction reproduced(const PublishedModel& published, const testing_zoo::ZooModel& zoo, bool perplexity) {
  ReproduceJournals journals;
  ReproduceOptions options{.scan = zoo.options, .perplexity_text = {}};
  if (perplexity) options.perplexity_text = testing_zoo::kZoo + "heldout.txt";
  return reproduce(published, zoo.model, *zoo.tokenizer, options, journals);
}

/// How close ours should come to PyTorch's, which reads other rows, and so other states, of the same page.
double tolerance(PublishedQuantity quantity) {
  if (quantity == PublishedQuantity::kPairwiseAngle) return 1.5;
  if (is_perplexity(quantity)) return 0.03;
  return figure_unit(quantity).empty() ? 0.02 : 0.5;
}

TEST_F(Reproduce, WhatPyTorchMeasuredOnTheZooComesOutOfOurOwnScan) {
  for (const char* name : {"llama-base", "llama-window"}) {
    const testing_zoo::ZooModel zoo(name);
    const Reproduction result = reproduced(published_model(std::string("zoo-") + name), zoo, true);
    EXPECT_TRUE(result.notes.empty());
    EXPECT_EQ(result.parity_rows, 9) << "paragraphs of the page";
    for (const ReproducedFigure& figure : result.figures) {
      const std::string what = std::string(name) + ": " + figure_name(figure.published);
      ASSERT_TRUE(figure.exact) << what;
      ASSERT_TRUE(figure.parity) << what;
      EXPECT_NEAR(*figure.exact, figure.published.value, tolerance(figure.published.quantity)) << what;
    }
  }
}

TEST_F(Reproduce, EveryQuantityOfThePapersTablesHasAnAnswer) {
  // A table of the test's own: each quantity, of a model that has them all.
  const testing_zoo::ZooModel zoo("llama-base");
  PublishedModel table{.name = "all",
                       .source = "nobody",
                       .shape = published_model("zoo-llama-base").shape,
                       .threshold = 21.3,
                       .skip_layers = {1, 6},
                       .figures = {}};
  for (int i = 0; i <= static_cast<int>(PublishedQuantity::kPerplexitySmoothSkip); ++i)
    table.figures.push_back({.quantity = static_cast<PublishedQuantity>(i), .layer = 1, .value = 0});
  const Reproduction result = reproduced(table, zoo, true);
  std::map<PublishedQuantity, double> exact;
  std::set<std::string> names;
  for (const ReproducedFigure& figure : result.figures) {
    ASSERT_TRUE(figure.exact) << figure_name(figure.published);
    exact[figure.published.quantity] = *figure.exact;
    names.insert(figure_name(figure.published));
  }
  EXPECT_EQ(names.size(), table.figures.size());
  EXPECT_GT(exact[PublishedQuantity::kNormAfterFfn], 5 * exact[PublishedQuantity::kNormBeforeFfn]);
  EXPECT_GT(exact[PublishedQuantity::kNormAfterFfn], 5 * exact[PublishedQuantity::kLaterNorm]);
  EXPECT_EQ(exact[PublishedQuantity::kExplosionLayer], 1);
  EXPECT_EQ(exact[PublishedQuantity::kDecayLayer], 6);
  EXPECT_GT(exact[PublishedQuantity::kPerplexityRtn], exact[PublishedQuantity::kPerplexity]);
  EXPECT_LT(exact[PublishedQuantity::kPerplexityRtnSkip], exact[PublishedQuantity::kPerplexityRtn]);
}

TEST_F(Reproduce, SelfPairsAreInTheAuthorsMeanAngleOnly) {
  const testing_zoo::ZooModel zoo("llama-base");
  PublishedModel table = published_model("zoo-llama-base");
  table.figures = {{.quantity = PublishedQuantity::kPairwiseAngle, .layer = 0, .value = 0}};
  ReproduceJournals journals;
  ReproduceOptions options{.scan = zoo.options, .perplexity_text = {}};
  const Reproduction result = reproduce(table, zoo.model, *zoo.tokenizer, options, journals);
  // The rows of the authors' rule by scan itself: no special token, and no pair with oneself.
  ScanOptions same = zoo.options;
  same.threshold = table.threshold;
  for (const TextRow& row : read_rows(zoo.options.text))
    if (row.text.size() >= 10 && row.text.size() <= 1000)
      same.token_rows.push_back(zoo.tokenizer->encode(row.text, false));
  same.text.clear();
  ScanJournal journal;
  const HighNorm high = scan_states(zoo.model, *zoo.tokenizer, same, journal).high_norm;
  EXPECT_EQ(result.parity_rows, std::ssize(same.token_rows));
  EXPECT_NEAR(*result.figures[0].parity,
              high.mean_pairwise_angle_degrees * (1 - 1 / static_cast<double>(high.count)), 1e-9);
}

TEST_F(Reproduce, AThresholdThatNothingReachesLeavesNumbersEmptyAndSaysSo) {
  const testing_zoo::ZooModel zoo("llama-base");
  PublishedModel table = published_model("zoo-llama-base");
  table.threshold = 8000;
  const Reproduction result = reproduced(table, zoo, false);
  EXPECT_EQ(result.notes.size(), 3U);  // both runs, and the perplexities nobody gave a text for
  for (const ReproducedFigure& figure : result.figures) {
    if (figure.published.quantity == PublishedQuantity::kNamedSpikes) continue;  // the weights' own
    EXPECT_FALSE(figure.exact);
    EXPECT_FALSE(figure.parity);
  }
}

template <typename Body>
Error refusal(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorKind::kUsage, "nothing was refused"};
}

TEST_F(Reproduce, UnknownNamesListTheKnownAndModelsOfOtherShapesAreRefused) {
  const Error unknown = refusal([] { published_model("gpt-5"); });
  EXPECT_EQ(unknown.kind(), ErrorKind::kUsage);
  EXPECT_THAT(unknown.what(), AllOf(HasSubstr("gpt-5"), HasSubstr("llama2-7b"), HasSubstr("qwen2.5-1.5b")));
  const testing_zoo::ZooModel zoo("gpt2-mini");
  const Error shape = refusal([&] { reproduced(published_model("gpt2-medium"), zoo, false); });
  EXPECT_EQ(shape.kind(), ErrorKind::kBadInput);
  EXPECT_THAT(shape.what(), AllOf(HasSubstr("gpt2-medium"), HasSubstr("24 layers"), HasSubstr("6 layers")));
  const Error no_text = refusal([] {
    testing_zoo::ZooModel without("llama-base");
    without.options.text.clear();
    reproduced(published_model("zoo-llama-base"), without, false);
  });
  EXPECT_EQ(no_text.kind(), ErrorKind::kUsage);
  EXPECT_THAT(no_text.what(), HasSubstr("--text"));
}

}  // namespace
}  // namespace defectoscope
