#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/json_values.h"
#include "report/page.h"
#include "report/run_info.h"
#include "report/section.h"

namespace defectoscope {

/// What one analysis has to say, ready to be written.
struct AnalysisOutput {
  std::string name;     ///< the subcommand's: "norms"; names <name>.json and the output folder
  std::string json;     ///< text of <name>.json (analysis_json), schema docs/schema/<name>.schema.json
  std::string summary;  ///< what a terminal shows, a few lines, ends in a newline
  std::vector<Section> sections;
};

/// What every result file opens with.
struct ModelFacts {
  std::string name, family, model_type, fingerprint, dtype;
  Index layers = 0, hidden_size = 0, vocab_size = 0, parameters = 0;
};

/// { "schema": "defectoscope.<name>/1", "program", "model", "options", then the members of `result` }.
std::string analysis_json(const std::string& name, const ModelFacts& model, const Json& options,
                          const Json& result);

/// "llama, 8 layers, width 256, 6.3 M parameters, bf16".
std::string facts_line(const ModelFacts& model);

/// What a terminal shows: the summary, and where the report is.
std::string result_text(const AnalysisOutput& output, const std::filesystem::path& out);

/// The part of a result folder that comes from sections: sections.json (schema "defectoscope.sections/1"),
/// report.html, tables/<id>.csv of every chart and table, figures/<id>.{svg,pdf,png} of every chart. Each
/// file appears whole or not at all. Returns what could not be made and why (gnuplot missing), one sentence
/// each. Throws Error(kResources) where the folder cannot be written.
std::vector<std::string> write_sections(const ModelPage& page, const std::filesystem::path& out);

/// Everything into folder `out`: <name>.json, run.json, and what write_sections writes; returns and throws as
/// that does. The page is headed by the model, or by `heading` where it is about several.
std::vector<std::string> write_analysis(const AnalysisOutput& output, const ModelFacts& model,
                                        const RunInfo& run, const std::filesystem::path& out,
                                        const std::string& heading = {});

}  // namespace defectoscope
