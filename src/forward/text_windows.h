#pragma once

#include <span>

#include "forward/transformer.h"

namespace defectoscope {

struct WindowOptions {
  Index window = 2048;  ///< tokens a window holds; the first of a window is never a target
  /// Tokens from one window's start to the next; 0 = window, so that none overlap. A shorter one gives
  /// targets more context: a window then scores only what earlier ones have not.
  Index stride = 0;
  /// Allow windows beyond the context the model was configured for (never beyond learned positions).
  bool beyond_context = false;
  /// Rows of one forward pass, at least one window. Which windows share a pass follows from this alone, so
  /// that results do not depend on interruptions.
  Index rows_at_once = 4096;
};

/// A text cut into windows of equal length; what does not fill a last one is left out.
class TextWindows {
 public:
  /// Throws Error(kBadInput) on a text shorter than a window, Error(kUsage) on a window beyond the model's
  /// context or sizes that make no sense. `tokens` is borrowed.
  TextWindows(const Model& model, std::span<const std::int32_t> tokens, const WindowOptions& options);

  Index count() const { return count_; }
  Index length() const { return window_; }
  /// Windows of one forward pass.
  Index per_pass() const { return per_pass_; }
  Index begin(Index window) const { return window * stride_; }
  /// First position within the window that is a target; the rest of the window are targets too.
  Index first_target(Index window) const { return window == 0 || stride_ == window_ ? 1 : window_ - stride_; }
  Index targets(Index window) const { return window_ - first_target(window); }
  /// Tokens after the last whole window.
  Index left_out() const { return static_cast<Index>(tokens_.size()) - begin(count_ - 1) - window_; }
  Batch batch(Index first, Index last) const;

 private:
  std::span<const std::int32_t> tokens_;
  Index window_, stride_, count_, per_pass_;
};

/// The logits of one window of a batch's final states, some rows at a time so that they stay within 64 MiB.
class WindowLogits {
 public:
  /// Throws Error(kBadInput) where the model has no causal mask: it would see its targets.
  explicit WindowLogits(const Transformer& transformer);
  /// Rows that fit at once; the same for the same vocabulary.
  Index rows() const { return rows_; }
  /// Logits of `states`, at most rows() of them; valid until the next call.
  ConstMatrixView of(ConstMatrixView states);

 private:
  const Transformer& transformer_;
  Index rows_;
  Matrix buffer_;
};

}  // namespace defectoscope
