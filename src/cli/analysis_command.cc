#include "cli/analysis_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "report/scan_sections.h"

namespace defectoscope {

CLI::App* add_analysis(CLI::App& app, AnalysisCommand analysis) {
  CLI::App* command = app.add_subcommand(analysis.name, analysis.description);
  auto options = std::make_shared<ScanCommand>();
  add_scan_options(*command, *options, analysis.name, analysis.needs);
  command->footer(
      fmt::format("Writes {}.json, report.html, sections.json, tables/, figures/ and run.json into --out. An "
                  "interrupted run "
                  "goes on where it stopped when the same command is given again.",
                  analysis.name));
  command->callback([options, analysis = std::move(analysis)] {
    ScanSession session(*options, analysis.name);
    ScanOptions scan_options = session.options;
    scan_options.read_weights = analysis.needs == ScanParts::kAll;
    const ScanResult result = analysis.needs == ScanParts::kNothing
                                  ? describe(session.model, scan_options)
                                  : scan(session.model, *session.tokenizer, scan_options, session.journal);
    TransformerOptions compute;
    compute.compute = session.options.compute;
    const Transformer transformer(session.model, compute);
    const AnalysisOutput output = analysis.run(
        {session.model, *session.tokenizer, transformer, session.options, result, session.journal});
    const auto missing = write_analysis(output, model_facts(result), session.clock.info(), session.out);
    session.finish(options->json ? output.json : result_text(output, session.out), missing);
  });
  return command;
}

}  // namespace defectoscope
