#include "analysis/scan.h"

#include <CLI/CLI.hpp>

#include "cli/app.h"
#include "cli/full_scan.h"
#include "report/scan_report.h"

namespace defectoscope {
namespace {

void run(const ScanCommand& command, bool full) {
  ScanSession session(command, "scan");
  const ScanResult result = scan(session.model, *session.tokenizer, session.options, session.journal);
  std::vector<AnalysisOutput> analyses;
  if (full) {
    TransformerOptions compute;
    compute.compute = session.options.compute;
    const Transformer transformer(session.model, compute);
    analyses = run_full_scan(
        {session.model, *session.tokenizer, transformer, session.options, result, session.journal});
  }
  const auto missing = write_scan_report(result, session.clock.info(), session.out, analyses);
  session.finish(command.json ? scan_json(result) : scan_summary(result, session.out.string()), missing);
}

}  // namespace

void add_scan(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "scan",
      "Find a model's high-norm tokens, the layers that make and remove them, and what the weights predict");
  auto options = std::make_shared<ScanCommand>();
  auto full = std::make_shared<bool>(false);
  add_scan_options(*command, *options, "scan", ScanParts::kAll);
  command->add_flag("--full", *full, "Run every other analysis of one model too, into the same report");
  command->footer(
      "Writes results.json, report.html, sections.json, directions.safetensors, run.json, tables/ and "
      "figures/ "
      "into --out. An interrupted scan goes on where it stopped when the same command is given again.");
  command->callback([options, full] { run(*options, *full); });
}

}  // namespace defectoscope
