#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "forward/perplexity.h"
#include "quantize/study.h"
#include "report/run_info.h"
#include "report/section.h"

namespace defectoscope {

/// A perplexity with what it was measured on.
struct PerplexityReport {
  std::string model_name, fingerprint;
  std::string text, text_sha256;
  std::string method, scheme;      ///< "none", "as stored" for the model as it is
  std::vector<Index> skip_layers;  ///< 1-based
  std::string compute, instruction_set;
  Index window = 0, stride = 0, tokens = 0;
  std::vector<std::string> notes;  ///< of the quantized model
  Perplexity result;
};
/// Schema "defectoscope.perplexity/1"; depends on model, text and options alone.
std::string perplexity_json(const PerplexityReport& report);
/// begin, targets and loss of every window.
std::string perplexity_csv(const PerplexityReport& report);
std::string perplexity_text(const PerplexityReport& report);
/// The loss along the text, and what came of it.
std::vector<Section> perplexity_sections(const PerplexityReport& report);
/// perplexity.json, windows.csv, run.json and what write_sections makes, into folder `out`; returns as that
/// does.
std::vector<std::string> write_perplexity_report(const PerplexityReport& report, const RunInfo& run,
                                                 const std::filesystem::path& out);

struct QuantizeReport {
  const QuantizeStudy& study;
  std::string fingerprint, instruction_set;
  std::uint64_t seed = 0;
};
/// Schema "defectoscope.quantize/1"; speeds are not in it: they differ from run to run.
std::string quantize_json(const QuantizeReport& report);
/// The table for a terminal, with the speeds; `out` is where the files are.
std::string quantize_text(const QuantizeReport& report, const std::string& out);
/// Table 1 as a table and bars, the damage of every matmul, forecast and measured.
std::vector<Section> quantize_sections(const QuantizeReport& report);
/// quantize.json, speed.csv, run.json and what write_sections makes, into folder `out`; returns as that does.
std::vector<std::string> write_quantize_report(const QuantizeReport& report, const RunInfo& run,
                                               const std::filesystem::path& out);

}  // namespace defectoscope
