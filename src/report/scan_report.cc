#include "report/scan_report.h"

#include "base/files.h"
#include "report/figures.h"

namespace defectoscope {

std::vector<std::string> write_scan_report(const ScanResult& result, const RunInfo& run,
                                           const std::filesystem::path& out) {
  make_folder(out);
  // The numbers first: whatever happens to the pictures, they are safe.
  write_file(out / "results.json", scan_json(result));
  write_directions(result, out / "directions.safetensors");
  write_file(out / "report.html", scan_html(result));
  std::vector<std::string> missing = write_figures(result, out);
  write_file(out / "run.json", run_json(run));
  return missing;
}

}  // namespace defectoscope
