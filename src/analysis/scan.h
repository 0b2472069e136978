#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "analysis/scan_result.h"
#include "kernels/gemm.h"
#include "linearize/layer_operator.h"

namespace defectoscope {

class Model;
class Tokenizer;
class ScanJournal;

/// What a user may ask of a scan. Everything here shapes the result; threads and output folders do not.
struct ScanOptions {
  std::filesystem::path text;  ///< calibration text, UTF-8; empty: sampled from the model
  std::vector<std::vector<std::int32_t>> token_rows;  ///< calibration rows as token ids, in place of a text
  Index rows = 1000;                                  ///< calibration rows at most
  Index max_tokens = 512;                             ///< a row is cut here, and at the model's context
  Index sample_tokens = 0;          ///< tokens of a sampled row; 0: fewer the larger the model
  std::uint64_t seed = 0;           ///< chooses rows, samples, starting blocks
  bool exact = false;               ///< LAPACK on every layer's L and R beside the matrix-free methods
  std::optional<double> threshold;  ///< of high norms; empty: found from the norms
  ComputeType compute = ComputeType::kF32;
  LinearizeOptions linearize;
  bool read_weights = true;  ///< false: states only, layer_reports stay empty
  std::string fingerprint;   ///< of the checkpoint, where it is known already; else it is computed
};

/// The whole life cycle of a model's high-norm tokens (ScanResult says what), from the checkpoint and, where
/// given, a text. Layers stream: memory beyond the mapped weights is one batch of at most 2048 tokens (rows ·
/// (4 d + 3 ffn) floats) and the norms of all tokens. Finished parts go to `journal`; the same call with the
/// same journal goes on from there. Deterministic in model, text and options.
/// Throws Error(kBadInput) on an unusable text or model, Error(kInterrupted) on a signal.
ScanResult scan(const Model& model, const Tokenizer& tokenizer, const ScanOptions& options,
                ScanJournal& journal);

/// The part of a scan that the states answer, for comparisons of many models: everything but layer_reports,
/// which stay empty, and without reading weights that the forward pass does not need. Throws as scan() does.
ScanResult scan_states(const Model& model, const Tokenizer& tokenizer, const ScanOptions& options,
                       ScanJournal& journal);

/// The parts of a result that need no computation: names, shapes, options.
ScanResult describe(const Model& model, const ScanOptions& options);

}  // namespace defectoscope
