#pragma once

#include "quantize/study.h"

namespace defectoscope {

/// Runs methods against the unquantized model over one text, many at a time where they are small; what a
/// journal holds already is not run again.
class MethodComparison {
 public:
  /// All borrowed.
  MethodComparison(const Model& model, const TokenIds& tokens, const WindowOptions& windows,
                   const ActivationMaxima& maxima, ComputeType compute, ScanJournal& journal);

  /// Outcomes in the order of the methods; appends what their models have to note, each once.
  std::vector<MethodOutcome> run(const std::vector<QuantMethod>& methods, std::vector<std::string>& notes);
  Index targets() const { return targets_; }
  /// Small enough to compare many quantized models at once.
  bool many_at_once() const { return many_at_once_; }

 private:
  void run_group(std::span<const QuantMethod> methods);

  const Model& model_;
  const TokenIds& tokens_;
  WindowOptions windows_;
  const ActivationMaxima& maxima_;
  ComputeType compute_;
  ScanJournal& journal_;
  Transformer reference_;
  bool many_at_once_;
  Index targets_ = 0;
};

/// Forecast, measured error and (small models) KL of every matmul.
std::vector<ModuleOutcome> module_outcomes(const Model& model, const EvaluationText& text,
                                           const ScanResult* scan, const StudyOptions& options,
                                           MethodComparison& comparison, std::optional<double>& correlation);

}  // namespace defectoscope
