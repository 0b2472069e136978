#pragma once

#include <functional>
#include <span>
#include <vector>

#include "forward/text_windows.h"

namespace defectoscope {

/// One window's targets.
struct WindowLoss {
  Index begin = 0;    ///< first token of the window, 0-based in the text
  Index targets = 0;  ///< tokens predicted
  double loss = 0;    ///< sum of −ln p(target), nats

  bool operator==(const WindowLoss&) const = default;
};

struct Perplexity {
  std::vector<WindowLoss> windows;
  Index targets = 0;
  Index left_out = 0;     ///< tokens after the last whole window
  double mean_loss = 0;   ///< nats per target
  double perplexity = 0;  ///< exp(mean_loss)
};

/// Called with the windows just completed, in order, some at a time.
using OnWindows = std::function<void(std::span<const WindowLoss>)>;

/// exp(mean token loss) of `tokens` under the model, over windows of equal length; an incomplete last one is
/// left out. `done`: windows an interrupted run completed, from the first on; they are not run again, and the
/// result is the same with and without them. Throws as TextWindows and Transformer::run do.
/// Cost: a forward pass over every window, in memory that of rows_at_once rows and 64 MiB of logits.
Perplexity perplexity(const Transformer& transformer, std::span<const std::int32_t> tokens,
                      const WindowOptions& options, std::span<const WindowLoss> done = {},
                      const OnWindows& on_windows = {});

/// How far one model's predictions are from another's on the same windows.
struct PredictionShift {
  Perplexity reference, other;
  double mean_kl = 0;         ///< mean over targets of KL(reference ‖ other), nats
  double top1_agreement = 0;  ///< share of targets where both rank the same token first
  double seconds = 0;         ///< wall time of `other`'s passes; no two runs agree on it
};

/// Both models over the same text, their next-token distributions compared at every target. Vocabularies must
/// be equal in size, else Error(kUsage). Otherwise as perplexity.
PredictionShift compare_predictions(const Transformer& reference, const Transformer& other,
                                    std::span<const std::int32_t> tokens, const WindowOptions& options);
/// The same for several models against one, which runs once.
std::vector<PredictionShift> compare_predictions(const Transformer& reference,
                                                 std::span<const Transformer* const> others,
                                                 std::span<const std::int32_t> tokens,
                                                 const WindowOptions& options);

}  // namespace defectoscope
