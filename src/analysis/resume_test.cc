// Passes over a text, broken off in the middle and gone on with.

#include <gtest/gtest.h>

#include "analysis/ablate.h"
#include "analysis/calibration_rows.h"
#include "analysis/high_norm_detail.h"
#include "analysis/kept_perplexity.h"
#include "analysis/mechanism.h"
#include "analysis/record_fields.h"
#include "analysis/test_zoo.h"
#include "base/error.h"
#include "base/progress.h"

namespace defectoscope {
namespace {

/// Another's vocabulary; asked for the n-th entry or text, it asks for an interrupt.
class InterruptingTokenizer final : public Tokenizer {
 public:
  InterruptingTokenizer(const Tokenizer& tokenizer, int calls) : tokenizer_(tokenizer), left_(calls) {}
  Index size() const override { return tokenizer_.size(); }
  std::vector<TokenId> encode(std::string_view text, bool special) const override {
    return tokenizer_.encode(text, special);
  }
  std::string decode(const std::vector<TokenId>& ids) const override {
    count();
    return tokenizer_.decode(ids);
  }
  std::string token(TokenId id) const override {
    count();
    return tokenizer_.token(id);
  }
  TokenId find(std::string_view token) const override { return tokenizer_.find(token); }
  bool is_special(TokenId id) const override { return tokenizer_.is_special(id); }
  TokenId start_token() const override { return tokenizer_.start_token(); }

 private:
  void count() const {
    if (--left_ == 0) request_interrupt();
  }
  const Tokenizer& tokenizer_;
  mutable int left_;
};

/// Everything of an ablation that its files show.
constexpr auto kEachOfAblation = [](auto& result, const auto& field) {
  for (auto& site : result.sites) {
    field(site.trigger);
    field(site.cut);
    field(site.ordinary_mean);
  }
  for (auto& run : result.runs) {
    field(run.norms);
    field(run.perplexity);
    field(run.mean_loss);
    field(run.texts);
  }
  field(result.notes);
  field(result.targets);
};
constexpr auto kEachOfMechanism = [](auto& mechanism, const auto& field) {
  for (auto& path : mechanism.paths)
    for (auto& step : path.steps) {
      field(step.before_attention);
      field(step.before_ffn);
      field(step.after);
    }
  for (auto& explosion : mechanism.explosions)
    for (auto* value : {&explosion.mean_first, &explosion.mean_second, &explosion.mean_without_attention,
                        &explosion.leading_output, &explosion.next_output, &explosion.coefficient_first})
      field(*value);
};
constexpr auto kEachOfDetail = [](auto& detail, const auto& field) {
  field(detail.tokens);
  field(detail.states_by_layer);
  field(detail.layer_angle_degrees);
  field(detail.between_layers_degrees);
  for (auto& token : detail.occurrences) field(token.first_peak);
};

class Resumed : public testing::Test {
 protected:
  Resumed() {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("resumed-" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    zoo_.options.rows = 60;
    scan_ = defectoscope::scan(zoo_.model, *zoo_.tokenizer, zoo_.options, scan_journal_);
    for (const FoundLayer& found : scan_.explosion_layers) layers_.push_back(found.layer);
  }
  ~Resumed() override {
    clear_interrupt();
    std::filesystem::remove_all(folder_);
  }
  ScanJournal journal() const {
    ScanJournal opened(folder_);
    opened.set_key("this model");
    return opened;
  }
  std::vector<std::vector<TokenIds>> batches() {
    return calibration_batches(transformer_, *zoo_.tokenizer, zoo_.options, scan_.parameters, 1 << 30,
                               scan_journal_);
  }
  template <typename Work>
  static void expect_interrupted(const Work& work) {
    try {
      work();
      ADD_FAILURE() << "not interrupted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
    }
    clear_interrupt();
  }
  bool has_record(const std::string& ending) const {
    for (const auto& file : std::filesystem::directory_iterator(folder_))
      if (file.path().stem().string().ends_with(ending)) return true;
    return false;
  }

  std::filesystem::path folder_;
  testing_zoo::ZooModel zoo_{"llama-base"};
  Transformer transformer_{zoo_.model};
  ScanJournal scan_journal_;
  ScanResult scan_;
  std::vector<Index> layers_;
};

TEST_F(Resumed, AnAblationGoesOnInTheMiddleOfItsConditions) {
  const std::vector<TokenIds> rows = batches().front();
  const auto ablated = [&](const Tokenizer& tokenizer, ScanJournal& journal) {
    return record_of(ablate(zoo_.model, tokenizer, rows,
                            {.layers = layers_,
                             .direction = scan_.high_norm.direction,
                             .threshold = scan_.high_norm.threshold,
                             .window = 64,
                             .sequences = 2,
                             .sequence_tokens = 12},
                            journal),
                     kEachOfAblation);
  };
  ScanJournal memory;
  const std::string whole = ablated(*zoo_.tokenizer, memory);
  ScanJournal stopped = journal();
  // The second text of the second condition.
  expect_interrupted([&] { ablated(InterruptingTokenizer(*zoo_.tokenizer, 4), stopped); });
  EXPECT_TRUE(has_record("0-norms-0000"));
  EXPECT_TRUE(has_record("1-texts"));
  EXPECT_FALSE(has_record("2-norms-0000"));
  ScanJournal resumed = journal();
  EXPECT_EQ(ablated(InterruptingTokenizer(*zoo_.tokenizer, 100), resumed), whole);
  EXPECT_TRUE(resumed.resumed());
  EXPECT_TRUE(has_record("4-texts"));
}

TEST_F(Resumed, HighNormStatesAreLookedAtFromTheLastFinishedBatchOn) {
  std::vector<std::vector<TokenIds>> halves(2);
  for (const auto& batch : batches())
    for (const TokenIds& row : batch) halves[halves[0].size() > halves[1].size() ? 1 : 0].push_back(row);
  ScanJournal memory;
  const std::string whole = record_of(high_norm_detail(transformer_, halves, scan_, memory), kEachOfDetail);
  int written = 0, read = 0;
  Index beside = 0;
  const GatheredBeside counted{.write =
                                   [&](RecordWriter& record) {
                                     record.value(++beside);
                                     if (++written == 1) request_interrupt();
                                   },
                               .read =
                                   [&](RecordReader& record) {
                                     beside = record.value<Index>();
                                     ++read;
                                   }};
  ScanJournal stopped = journal();
  expect_interrupted([&] { high_norm_detail(transformer_, halves, scan_, stopped, counted); });
  beside = 0;
  ScanJournal resumed = journal();
  EXPECT_EQ(record_of(high_norm_detail(transformer_, halves, scan_, resumed, counted), kEachOfDetail), whole);
  EXPECT_EQ(written, 2) << "a batch each";
  EXPECT_EQ(read, 1);
  EXPECT_EQ(beside, 2) << "what was gathered beside the first batch came back";
}

TEST_F(Resumed, LoneTokensAreFollowedFromTheLastFinishedPassOn) {
  const auto explained = [&](const Tokenizer& tokenizer, ScanJournal& journal) {
    MechanismOptions few;
    few.entries = 50;
    return record_of(explain_mechanism(zoo_.model, tokenizer, scan_, few, journal), kEachOfMechanism);
  };
  ScanJournal memory;
  const std::string whole = explained(*zoo_.tokenizer, memory);
  ScanJournal stopped = journal();
  expect_interrupted([&] { explained(InterruptingTokenizer(*zoo_.tokenizer, 9), stopped); });
  EXPECT_TRUE(has_record("-initial"));
  EXPECT_FALSE(has_record("-second"));
  ScanJournal resumed = journal();
  EXPECT_EQ(explained(*zoo_.tokenizer, resumed), whole);
  EXPECT_TRUE(resumed.resumed());
}

TEST_F(Resumed, APerplexityIsTheSameByWindowsOrAtOnce) {
  TokenIds text;
  const std::vector<TokenIds> rows = batches().front();
  for (const TokenIds& row : rows) text.insert(text.end(), row.begin(), row.end());
  const WindowOptions windows{.window = 16};
  ScanJournal first = journal();
  const Perplexity whole = kept_perplexity(transformer_, text, windows, first, "a");
  ScanJournal again = journal();
  const Perplexity kept = kept_perplexity(transformer_, text, windows, again, "a");
  EXPECT_EQ(kept.windows, whole.windows);
  EXPECT_EQ(kept.perplexity, whole.perplexity);
  EXPECT_EQ(whole.perplexity, perplexity(transformer_, text, windows).perplexity);
  EXPECT_TRUE(again.resumed());
}

}  // namespace
}  // namespace defectoscope
