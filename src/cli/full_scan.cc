#include "cli/full_scan.h"

#include "base/progress.h"
#include "report/section_json.h"

namespace defectoscope {
namespace {

std::string to_record(const AnalysisOutput& output) {
  const Json json = {
      {"json", output.json}, {"summary", output.summary}, {"sections", sections_json(output.sections)}};
  return dump(json, -1);
}

AnalysisOutput from_record(const std::string& name, const std::string& record) {
  const Json json = Json::parse(record);
  return {.name = name,
          .json = json.at("json"),
          .summary = json.at("summary"),
          .sections = sections_from_json(json.at("sections"))};
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
  Progress progress("Analysing", static_cast<Index>(analyses.size()), StepKind::kUnlike);
  for (const AnalysisCommand& analysis : analyses) {
    check_interrupt();
    const std::string record = "analysis-" + analysis.name;
    auto kept = context.journal.get(record);
    if (!kept) {
      kept = to_record(analysis.run(context));
      context.journal.put(record, *kept);
    }
    // By way of the record in either case: a resumed scan then ends with the same bytes.
    outputs.push_back(from_record(analysis.name, *kept));
    progress.advance();
  }
  return outputs;
}

}  // namespace defectoscope
