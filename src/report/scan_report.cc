#include "report/scan_report.h"

#include "base/files.h"
#include "report/scan_sections.h"

namespace defectoscope {

std::vector<std::string> write_scan_report(const ScanResult& result, const RunInfo& run,
                                           const std::filesystem::path& out,
                                           const std::vector<AnalysisOutput>& analyses) {
  make_folder(out);
  // The numbers first: whatever happens to the pictures, they are safe.
  write_file(out / "results.json", scan_json(result));
  write_directions(result, out / "directions.safetensors");
  ModelPage page = scan_page(result);
  for (const AnalysisOutput& output : analyses) {
    write_file(out / (output.name + ".json"), output.json);
    // An analysis says more than the scan's section of the same name, and takes its place.
    for (const Section& section : output.sections) {
      std::erase_if(page.sections, [&](const Section& other) { return other.id == section.id; });
      page.sections.push_back(section);
    }
    page.summary += "\n" + output.summary;
  }
  std::vector<std::string> missing = write_sections(page, out);
  if (result.high_norm.count == 0)
    missing.push_back("figures of angles and eigenvalues: there is no empirical direction to compare with");
  write_file(out / "run.json", run_json(run));
  return missing;
}

}  // namespace defectoscope
