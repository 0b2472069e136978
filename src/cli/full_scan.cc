#include "cli/full_scan.h"

#include "base/error.h"
#include "base/progress.h"
#include "report/probe_reports.h"
#include "report/section_json.h"

namespace defectoscope {
namespace {

std::string to_record(const AnalysisOutput& output) {
  const Json json = {
      {"json", output.json}, {"summary", output.summary}, {"sections", sections_json(output.sections)}};
  return json.dump();
}

AnalysisOutput from_record(const std::string& name, const std::string& record) {
  const Json json = Json::parse(record);
  return {.name = name,
          .json = json.at("json"),
          .summary = json.at("summary"),
          .sections = sections_from_json(json.at("sections"))};
}

/// An analysis that a family has no answer to (experts) leaves a sentence, not a scan without a report.
AnalysisOutput run_or_say_why(const AnalysisCommand& analysis, const AnalysisContext& context) {
  try {
    return analysis.run(context);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kResources || error.kind() == ErrorKind::kInterrupted) throw;
    return nothing_output(context.scan, {.id = analysis.name, .heading = analysis.name}, error.what());
  }
}

}  // namespace

std::vector<AnalysisCommand> full_scan_analyses() {
  return {norms_analysis(),       high_norm_analysis(), singular_analysis(),
          decay_analysis(),       census_analysis(),    trigger_analysis(),
          predictions_analysis(), ablate_analysis(),    mechanism_analysis()};
}

std::vector<AnalysisOutput> run_full_scan(const AnalysisContext& context) {
  std::vector<AnalysisOutput> outputs;
  const auto analyses = full_scan_analyses();
  Progress progress("Analysing", static_cast<Index>(analyses.size()));
  for (const AnalysisCommand& analysis : analyses) {
    check_interrupt();
    const std::string record = "analysis-" + analysis.name;
    if (const auto kept = context.journal.get(record)) {
      outputs.push_back(from_record(analysis.name, *kept));
    } else {
      outputs.push_back(run_or_say_why(analysis, context));
      context.journal.put(record, to_record(outputs.back()));
    }
    progress.advance();
  }
  return outputs;
}

}  // namespace defectoscope
