#pragma once

#include <optional>
#include <string>
#include <vector>

#include "forward/perplexity.h"
#include "quantize/damage.h"
#include "quantize/evaluation_text.h"
#include "quantize/method.h"

namespace defectoscope {

class ScanJournal;
struct ScanResult;

struct StudyOptions {
  WindowOptions windows;
  double alpha = 0.5;                 ///< SmoothQuant's
  std::vector<Index> skip_layers;     ///< 1-based; the layers whose F2 stays unquantized
  std::optional<QuantScheme> scheme;  ///< a row of its own beside the table's
  Index draws = 20;                   ///< random skip sets of the same size
  std::uint64_t seed = 0;
  std::optional<double> target_increase;  ///< of perplexity, relative: finds the smallest skip set (--auto)
  bool auto_from_forecast = false;        ///< order matmuls by the forecast instead of what was measured
  ComputeType compute = ComputeType::kF32;
};

/// A row of the table.
struct MethodOutcome {
  std::string method, scheme;
  std::vector<ModuleId> skipped;
  double perplexity = 0, mean_loss = 0;
  double mean_kl = 0;            ///< from the unquantized model, nats a token
  double top1_agreement = 0;     ///< with it
  Index bytes = 0;               ///< of the weights
  double tokens_per_second = 0;  ///< differs from run to run
};

/// One matmul: what was forecast, what quantizing it alone does.
struct ModuleOutcome {
  ModuleId id;
  std::string path;                      ///< in the checkpoint
  std::optional<ModuleDamage> forecast;  ///< where a scan was at hand
  ModuleDamage measured;
  std::optional<double> alone_kl;  ///< mean KL with this matmul alone quantized; small models only
};

struct SkipSearch {
  double target = 0;
  bool reached = false;           ///< before every matmul was left alone
  std::vector<ModuleId> skipped;  ///< most damaging first
  double perplexity = 0, increase = 0;
  Index evaluations = 0;
  std::string order;  ///< "measured" or "forecast"
};

struct QuantizeStudy {
  std::string model_name, family;
  std::string text, text_sha256, calibration;
  Index window = 0, stride = 0, tokens = 0, windows = 0, left_out = 0, targets = 0;
  double alpha = 0;
  std::string compute;
  std::vector<Index> skip_layers;
  bool skip_from_scan = false;
  std::vector<MethodOutcome> rows;      ///< the table, unquantized first
  std::vector<MethodOutcome> controls;  ///< RTN with the whole layers, with all F2 left alone
  std::vector<MethodOutcome> draws;     ///< RTN with random sets of the same size left alone
  Index draws_beaten = 0;               ///< of those, the ones whose KL is larger than the skip set's
  std::vector<ModuleOutcome> modules;   ///< in the order of the forward pass
  std::optional<double> forecast_rank_correlation;  ///< of relative errors, forecast and measured
  std::optional<SkipSearch> search;
  std::vector<std::string> notes;
};

/// Everything above. `calibration` gives SmoothQuant's maxima. `scan` may be null: no forecast then. Finished
/// rows go to `journal` and are not computed again. Models up to 256 MB are compared many at once and have
/// each matmul's own KL; larger ones a method at a time. Throws as compare_predictions, calibrate and smooth
/// do.
QuantizeStudy study_quantization(const Model& model, const EvaluationText& text,
                                 const EvaluationText& calibration, const ScanResult* scan,
                                 const StudyOptions& options, ScanJournal& journal);

}  // namespace defectoscope
