#include "forward/text_windows.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace defectoscope {
namespace {

constexpr Index kLogitBytes = Index{64} << 20;

void check(const Model& model, Index tokens, const WindowOptions& options) {
  if (options.window < 2) throw Error(ErrorKind::kUsage, "a window needs at least 2 tokens");
  if (options.stride < 0 || options.stride > options.window)
    throw Error(ErrorKind::kUsage,
                fmt::format("the stride must lie between 1 and the window's {} tokens, got {}",
                            options.window, options.stride));
  const Index context = model.config().max_positions;
  const bool learned = model.config().architecture->position == PositionKind::kLearned;
  if (context > 0 && options.window > context && (learned || !options.beyond_context))
    throw Error(ErrorKind::kUsage,
                fmt::format("windows of {} tokens are longer than {}'s context of {}{}", options.window,
                            model.name(), context, learned ? "" : "; they are only run when forced"));
  if (tokens < options.window)
    throw_bad_input({.what = "the text is shorter than one window",
                     .expected = fmt::format("at least {} tokens", options.window),
                     .got = fmt::format("{} tokens", tokens),
                     .hint = "give more text or a smaller window"});
}

}  // namespace

TextWindows::TextWindows(const Model& model, std::span<const std::int32_t> tokens,
                         const WindowOptions& options)
    : tokens_(tokens),
      window_(options.window),
      stride_(options.stride == 0 ? options.window : options.stride) {
  const auto size = static_cast<Index>(tokens.size());
  check(model, size, options);
  count_ = (size - window_) / stride_ + 1;
  per_pass_ = std::max<Index>(1, options.rows_at_once / window_);
}

Batch TextWindows::batch(Index first, Index last) const {
  std::vector<TokenIds> sequences;
  for (Index i = first; i < last; ++i) {
    const auto part = tokens_.subspan(static_cast<std::size_t>(begin(i)), static_cast<std::size_t>(window_));
    sequences.emplace_back(part.begin(), part.end());
  }
  return Batch(std::move(sequences));
}

WindowLogits::WindowLogits(const Transformer& transformer) : transformer_(transformer) {
  if (const Model& model = transformer.model(); !model.config().causal)
    throw_bad_input({.what = "a masked language model sees the tokens it would have to predict",
                     .file = model.folder().string(),
                     .expected = "a model with a causal mask",
                     .got = std::string(model.config().architecture->name)});
  const Index row_bytes = transformer.model().config().vocab_size * static_cast<Index>(sizeof(float));
  rows_ = std::max<Index>(16, kLogitBytes / row_bytes / 16 * 16);
}

ConstMatrixView WindowLogits::of(ConstMatrixView states) {
  if (buffer_.rows() < states.rows())
    buffer_ = Matrix(states.rows(), transformer_.model().config().vocab_size);
  const MatrixView out = buffer_.view().block_rows(0, states.rows());
  transformer_.logits(states, out);
  return out;
}

}  // namespace defectoscope
