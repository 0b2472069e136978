#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "forward/perplexity.h"
#include "quantize/study.h"
#include "report/scan_report.h"

namespace defectoscope {

/// A perplexity with what it was measured on.
struct PerplexityReport {
  std::string model_name, fingerprint;
  std::string text, text_sha256;
  std::string method, scheme;      ///< "none", "as stored" for the model as it is
  std::vector<Index> skip_layers;  ///< 1-based
  std::string compute, instruction_set;
  Index window = 0, stride = 0, tokens = 0;
  Perplexity result;
};
/// Schema "defectoscope.perplexity/1"; depends on model, text and options alone.
std::string perplexity_json(const PerplexityReport& report);
/// begin, targets and loss of every window.
std::string perplexity_csv(const PerplexityReport& report);
std::string perplexity_text(const PerplexityReport& report);

struct QuantizeReport {
  const QuantizeStudy& study;
  std::string fingerprint, instruction_set;
  std::uint64_t seed = 0;
};
/// Schema "defectoscope.quantize/1"; speeds are not in it: they differ from run to run.
std::string quantize_json(const QuantizeReport& report);
/// The table for a terminal; `out` is where the files are.
std::string quantize_text(const QuantizeReport& report, const std::string& out);
/// quantize.json, table.csv, modules.csv, speed.csv and run.json into folder `out`.
void write_quantize_report(const QuantizeReport& report, const RunInfo& run,
                           const std::filesystem::path& out);

}  // namespace defectoscope
