#include "reproduce/reproduce.h"

#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "cli/hub_model.h"
#include "cli/scan_session.h"
#include "report/reproduce_report.h"
#include "report/scan_sections.h"

namespace defectoscope {
namespace {

struct ReproduceCommand {
  std::string name;
  ScanCommand scan;
  std::string perplexity_text;
  Index window = 0;
};

void run_reproduce(const ReproduceCommand& command) {
  const PublishedModel& published = published_model(command.name);  // an unknown name needs no model
  ScanSession session(command.scan, "reproduce");
  ReproduceJournals journals{.parity = ScanJournal(session.out / ".journal-parity"),
                             .exact = ScanJournal(session.out / ".journal-exact"),
                             .perplexity = ScanJournal(session.out / ".journal-perplexity")};
  const Reproduction result = reproduce(published, session.model, *session.tokenizer,
                                        {.scan = session.options,
                                         .perplexity_text = text_file(command.perplexity_text),
                                         .window = command.window},
                                        journals);
  const ScanResult described = describe(session.model, session.options);
  const AnalysisOutput output = reproduce_output(described, result);
  const auto missing = write_analysis(output, model_facts(described), session.clock.info(), session.out);
  journals.clear();
  session.finish(command.scan.json ? output.json : result_text(output, session.out), missing);
}

}  // namespace

void add_reproduce(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "reproduce", "Measure a model as published work did, and print published, ours and the difference");
  auto options = std::make_shared<ReproduceCommand>();
  command->add_option("NAME", options->name, "Whose published numbers: " + published_names())
      ->required()
      ->type_name("NAME");
  add_scan_options(*command, options->scan, "reproduce", ScanParts::kAll);
  command->remove_option(command->get_option("--paper-parity"));  // it is run both ways
  command
      ->add_option(
          "--perplexity-text", options->perplexity_text,
          "Text of the perplexities, for the models that have published ones (the paper's numbers are "
          "WikiText-2 raw's: wikitext-2); without it they are left out")
      ->type_name("FILE");
  command
      ->add_option("--window", options->window,
                   "Tokens of a perplexity window (0: 2048, or the model's context where it is shorter)")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command->footer(
      "Needs --text: the paper used 1,000 rows of WikiText-2's training text. Writes reproduce.json, "
      "report.html, sections.json, tables/, figures/ and run.json into --out. An interrupted run goes on "
      "where "
      "it stopped when the same command is given again.");
  command->callback([options] { run_reproduce(*options); });
}

}  // namespace defectoscope
