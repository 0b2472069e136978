// Every analysis of scan --full, and emergence, over a small random model of every family the goldens hold.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "analysis/form_goldens.h"
#include "cli/full_scan.h"
#include "report/emergence_report.h"
#include "report/expect_sound.h"
#include "report/scan_report.h"
#include "report/scan_sections.h"
#include "tokenizer/pipeline.h"

namespace defectoscope {
namespace {

/// As many entries as the goldens have, of single letters, which spell any lower-case text.
std::unique_ptr<Tokenizer> letters(Index entries) {
  BpeVocabulary vocabulary;
  vocabulary.tokens = {"<pad>", "<s>", "</s>", "Ġ", "."};
  for (char letter = 'a'; letter <= 'z'; ++letter) vocabulary.tokens.emplace_back(1, letter);
  for (char letter = 'A'; letter <= 'Z' && std::ssize(vocabulary.tokens) < entries; ++letter)
    vocabulary.tokens.emplace_back(1, letter);
  for (TokenId id = 0; id < 3; ++id)
    vocabulary.added.push_back(
        {.content = vocabulary.tokens[static_cast<std::size_t>(id)], .special = true, .id = id});
  vocabulary.start = "<s>";
  return make_rust_tokenizer(to_tokenizer_json(vocabulary), "letters");
}

/// Sentences with a number that is none, and charts and tables with nothing in them.
std::vector<std::string> blemishes(const std::vector<Section>& sections) {
  static const std::regex kNoNumber(R"((^|[^A-Za-z<])-?(nan|inf)([^A-Za-z>]|$))");
  std::vector<std::string> found;
  const auto read = [&](const std::string& place, const std::string& text) {
    if (std::regex_search(text, kNoNumber)) found.push_back(place + ": " + text);
  };
  for (const Section& section : sections) {
    if (section.sentences.empty() && section.charts.empty() && section.tables.empty())
      found.push_back(section.id + " is empty");
    for (const std::string& sentence : section.sentences) read(section.id, sentence);
    for (const Chart& chart : section.charts) {
      read(chart.id, chart.sentence);
      std::size_t points = 0;
      const auto count = [&](const std::vector<double>& values) {
        points += static_cast<std::size_t>(
            std::ranges::count_if(values, [](double value) { return std::isfinite(value); }));
      };
      for (const Series& series : chart.series) count(series.y);
      for (const auto& row : chart.grid) count(row);
      if (points == 0) found.push_back("chart " + chart.id + " shows nothing");
    }
    for (const Table& table : section.tables) {
      read(table.id, table.sentence);
      if (table.rows.empty()) found.push_back("table " + table.id + " is empty");
    }
  }
  return found;
}

class EveryFamily : public testing::TestWithParam<std::string> {
 protected:
  EveryFamily()
      : golden_(read_golden(GetParam())),
        model_(open_golden(golden_)),
        transformer_(model_),
        tokenizer_(letters(model_.config().vocab_size)) {
    options_.rows = 6;
    options_.sample_tokens = 10;
    options_.fingerprint = std::string(64, '0');
  }

  /// Half of the states of the middle layer are high: random weights have no high norms of their own.
  void set_threshold() {
    ScanJournal journal;
    const ScanResult result = scan_states(model_, *tokenizer_, options_, journal);
    options_.threshold = result.norms[static_cast<std::size_t>(result.layers / 2 + 1)].median;
  }

  void expect_all_sound(const ScanResult& result) {
    ScanJournal journal;
    journal.set_key("a");
    EXPECT_EQ(schema_complaints(scan_json(result), "scan.schema.json"), "");
    EXPECT_THAT(blemishes(scan_page(result).sections), testing::IsEmpty());
    for (const AnalysisOutput& output :
         run_full_scan({model_, *tokenizer_, transformer_, options_, result, journal})) {
      SCOPED_TRACE(output.name);
      expect_sound(output);
      EXPECT_THAT(blemishes(output.sections), testing::IsEmpty());
    }
    const std::vector<EmergenceRow> rows{emergence_row(result, model_.config())};
    const AnalysisOutput emergence = emergence_output(result, rows);
    expect_sound(emergence);
    EXPECT_THAT(blemishes(emergence.sections), testing::IsEmpty());
  }

  Golden golden_;
  Model model_;
  Transformer transformer_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ScanOptions options_;
};

TEST_P(EveryFamily, IsAnsweredByEveryAnalysis) {
  ScanJournal journal;
  expect_all_sound(scan(model_, *tokenizer_, options_, journal));
  set_threshold();
  ScanResult result = scan(model_, *tokenizer_, options_, journal);
  EXPECT_FALSE(result.high_norm.direction.empty());
  // Where the random norms make no step, as if the middle layers did.
  if (result.explosion_layers.empty()) result.explosion_layers = {{.layer = 1}, {.layer = 2}};
  if (result.decay_layers.empty()) result.decay_layers = {{.layer = result.layers}};
  expect_all_sound(result);
}

INSTANTIATE_TEST_SUITE_P(Goldens, EveryFamily, testing::ValuesIn(golden_names()),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace defectoscope
