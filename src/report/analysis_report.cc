#include "report/analysis_report.h"

#include <fmt/format.h>

#include "base/files.h"
#include "report/csv.h"
#include "report/figures.h"
#include "report/page.h"
#include "report/section_json.h"

namespace defectoscope {

std::string analysis_json(const std::string& name, const ModelFacts& model, const Json& options,
                          const Json& result) {
  Json json = {{"schema", fmt::format("defectoscope.{}/1", name)},
               {"program", program_json()},
               {"model",
                {{"name", model.name},
                 {"family", model.family},
                 {"model_type", model.model_type},
                 {"fingerprint", model.fingerprint},
                 {"dtype", model.dtype},
                 {"layers", model.layers},
                 {"hidden_size", model.hidden_size},
                 {"vocab_size", model.vocab_size},
                 {"parameters", model.parameters}}},
               {"options", options}};
  json.update(result);
  return dump(json) + "\n";
}

std::string facts_line(const ModelFacts& model) {
  return fmt::format("{}, {} layers, width {}, {:.4g} M parameters, {}", model.model_type, model.layers,
                     model.hidden_size, static_cast<double>(model.parameters) / 1e6, model.dtype);
}

std::string result_text(const AnalysisOutput& output, const std::filesystem::path& out) {
  return fmt::format("{}\nReport: {}/report.html\n", output.summary, out.string());
}

std::vector<std::string> write_sections(const ModelPage& page, const std::filesystem::path& out) {
  check_sections(page.sections);
  make_folder(out / "tables");
  for (const Section& section : page.sections) {
    for (const Chart& chart : section.charts)
      write_file(out / "tables" / (chart.id + ".csv"), chart_csv(chart));
    for (const Table& table : section.tables)
      write_file(out / "tables" / (table.id + ".csv"), table_csv(table));
  }
  write_file(out / "sections.json", dump(page_json(page), -1) + "\n");
  write_file(out / "report.html", page_html({page}));
  return write_figures(page.sections, out);
}

std::vector<std::string> write_analysis(const AnalysisOutput& output, const ModelFacts& model,
                                        const RunInfo& run, const std::filesystem::path& out,
                                        const std::string& heading) {
  make_folder(out);
  // The numbers first: whatever happens to the pictures, they are safe.
  write_file(out / (output.name + ".json"), output.json);
  std::vector<std::string> missing = write_sections({.name = heading.empty() ? model.name : heading,
                                                     .facts = heading.empty() ? facts_line(model) : "",
                                                     .cards = {},
                                                     .sections = output.sections,
                                                     .summary = output.summary},
                                                    out);
  write_file(out / "run.json", run_json(run));
  return missing;
}

}  // namespace defectoscope
