// norms, high-norm, singular, decay: the analyses whose subcommands are little more than their names.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "analysis/calibration_rows.h"
#include "analysis/landscape.h"
#include "base/error.h"
#include "base/files.h"
#include "cli/app.h"
#include "cli/full_scan.h"
#include "report/defect_reports.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

constexpr Index kHighNormTokens = 8192;

std::vector<std::vector<TokenIds>> rows_of(const AnalysisContext& context, Index tokens) {
  return calibration_batches(context.transformer, context.tokenizer, context.options, context.scan.parameters,
                             tokens, context.journal);
}

AnalysisOutput run_norms(const AnalysisContext& context, const std::string& text) {
  if (const auto invalid = find_invalid_utf8(text))
    throw_bad_input({.what = "the text is not UTF-8",
                     .got = fmt::format("an invalid byte at offset {}", *invalid),
                     .hint = "convert it, for example with iconv"});
  if (context.tokenizer.encode(text, false).empty())
    throw_bad_input({.what = "the text has no token",
                     .expected = "text with at least one token",
                     .hint = "give another --prompt or --prompt-file"});
  const TokenIds with = context.tokenizer.encode(text, true);
  const TextNorms norms = text_norms(context.transformer, context.tokenizer, with);
  std::optional<TextNorms> without_start;
  if (context.tokenizer.start_token() >= 0)
    without_start = text_norms(context.transformer, context.tokenizer, context.tokenizer.encode(text, false));
  return norms_output(context.scan, text, norms, without_start);
}

}  // namespace

AnalysisCommand norms_analysis() {
  return {.name = "norms",
          .description =
              "Norms of every hidden state of a text, layer by layer, before and after attention and FFN",
          .needs = ScanParts::kNothing,
          .run = [](const AnalysisContext& context) { return run_norms(context, kLandscapeSentence); }};
}

AnalysisCommand high_norm_analysis() {
  return {.name = "high-norm",
          .description =
              "High-norm states: threshold, angles between them, attention drawn, top dimensions, outlier "
              "channels of every matmul",
          .needs = ScanParts::kStates,
          .run = [](const AnalysisContext& context) {
            const auto batches = rows_of(context, kHighNormTokens);
            ActivationMaxima maxima;
            const Transformer recorder(context.model, recording_options(maxima, context.options.compute));
            const GatheredBeside inputs{.write = [&](RecordWriter& record) { maxima.write(record); },
                                        .read = [&](RecordReader& record) { maxima.read(record); }};
            const HighNormDetail detail =
                high_norm_detail(recorder, batches, context.scan, context.journal, inputs);
            return high_norm_output(context.scan, detail, outlier_channels(context.model, maxima));
          }};
}

AnalysisCommand singular_analysis() {
  return {.name = "singular",
          .description =
              "Left singular directions of every layer, its attention, its FFN, and products of layers, "
              "against the empirical direction",
          .needs = ScanParts::kAll,
          .run = [](const AnalysisContext& context) {
            return singular_output(context.scan, layer_directions(context.model, context.options,
                                                                  context.scan, context.journal));
          }};
}

AnalysisCommand decay_analysis() {
  return {.name = "decay",
          .description =
              "Eigenvalues of every layer near the empirical direction, the real decay, and ordinary "
              "tokens in the decay layer",
          .needs = ScanParts::kAll,
          .run = [](const AnalysisContext& context) {
            const auto rows = rows_of(context, 1).front();  // one batch is enough
            return decay_output(context.scan, decay_corollary(context.transformer, rows, context.scan));
          }};
}

void add_norms(CLI::App& app) {
  AnalysisCommand analysis = norms_analysis();
  auto prompt = std::make_shared<std::string>(kLandscapeSentence);
  auto file = std::make_shared<std::string>();
  analysis.run = [prompt, file](const AnalysisContext& context) {
    return run_norms(context, file->empty() ? *prompt : read_file(*file));
  };
  CLI::App* command = add_analysis(app, std::move(analysis));
  CLI::Option* text = command->add_option("--prompt", *prompt, "The text itself")->capture_default_str();
  command->add_option("--prompt-file", *file, "A file that holds the text, UTF-8")
      ->type_name("FILE")
      ->excludes(text);
}
void add_high_norm(CLI::App& app) { add_analysis(app, high_norm_analysis()); }
void add_singular(CLI::App& app) { add_analysis(app, singular_analysis()); }
void add_decay(CLI::App& app) { add_analysis(app, decay_analysis()); }

}  // namespace defectoscope
