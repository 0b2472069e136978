#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "analysis/journal.h"
#include "analysis/scan.h"
#include "cli/common.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {

/// Options of `scan` and of every analysis that stands on a scan, declared in one place.
struct ScanCommand {
  CommonOptions common;
  std::string text, out, linearize = "closed", compute = "auto";
  Index rows = 1000, samples = 100000;
  std::uint64_t seed = 0;
  std::optional<double> threshold;
  bool exact = false, json = false, paper_parity = false, full_hash = false;
};
/// How much of a scan a subcommand stands on.
enum class ScanParts {
  kNothing,  ///< names and shapes
  kStates,   ///< high norms, their direction, explosion and decay layers
  kAll       ///< and every layer's weights
};
/// The options that matter for `parts`. `name`: the subcommand's, for the help of --out and --json.
void add_scan_options(CLI::App& command, ScanCommand& options, const std::string& name, ScanParts parts);

/// What --compute auto means: bf16 for width 2048 and more where the processor is faster in it. f32 costs
/// nothing on small models; on large ones bf16 is up to three times as fast where it is fast.
ComputeType automatic_compute(const Model& model);

/// What a subcommand works with from its options on: model, tokenizer, output folder, journal, clock.
struct ScanSession {
  /// Opens all; a folder that cannot be written is known here, before the work.
  ScanSession(const ScanCommand& command, const std::string& name);
  /// The results are written: forgets the journal, prints `text`, complains of what is missing.
  void finish(const std::string& text, const std::vector<std::string>& missing);

  RunClock clock;
  Model model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::filesystem::path out;
  ScanOptions options;
  ScanJournal journal;
};

}  // namespace defectoscope
