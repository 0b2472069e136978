#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "analysis/journal.h"
#include "analysis/scan.h"
#include "reproduce/published.h"

namespace defectoscope {

/// One published number beside ours.
struct ReproducedFigure {
  PublishedFigure published;
  std::optional<double> parity;  ///< in the authors' way; empty where this model has none
  std::optional<double> exact;   ///< in ours
};

struct Reproduction {
  std::string name, source;
  double threshold = 0;   ///< of both; 0: found from the norms
  Index parity_rows = 0;  ///< rows of the text that the authors' rule keeps
  std::vector<ReproducedFigure> figures;
  std::vector<std::string> notes;
};

struct ReproduceOptions {
  ScanOptions scan;                       ///< text (needed), rows of the exact run, seed, arithmetic, --exact
  std::filesystem::path perplexity_text;  ///< empty: no perplexities
  Index window = 0;                       ///< of perplexities; 0: see window_for
};

/// Finished parts, so that an interrupted run goes on.
struct ReproduceJournals {
  ScanJournal parity, exact, perplexity;
  void clear();
};

/// Runs the paper's settings twice. Parity: the first 1,000 rows of the text of 10 to 1,000 characters,
/// without special tokens; no centring, no biases, unit covariance; a state's angle to itself in the mean
/// angle. Exact: the rows as `scan` takes them, the family's exact linear form. The threshold is options',
/// else the published one, in both. Up to width 1024 eigenvectors are LAPACK's. Perplexities do not depend on
/// these settings: one run for both. Throws Error(kUsage) without a text; Error(kBadInput) as scan does and
/// where the model is not of the published one's family and shape.
Reproduction reproduce(const PublishedModel& published, const Model& model, const Tokenizer& tokenizer,
                       const ReproduceOptions& options, ReproduceJournals& journals);

}  // namespace defectoscope
