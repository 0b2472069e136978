#include "forward/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"

namespace defectoscope {
namespace {

double log_sum_exp(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

Index best(std::span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

/// Calls body(first, rows) for pieces of a window's predicting rows, those before its targets; `first` counts
/// within the batch.
template <typename Body>
void for_predicting_rows(const TextWindows& windows, const Batch& batch, Index in_batch, Index window,
                         Index piece, const Body& body) {
  Index row = batch.begin[static_cast<std::size_t>(in_batch)] + windows.first_target(window) - 1;
  const Index end = row + windows.targets(window);
  for (; row < end; row += piece) body(row, std::min(piece, end - row));
}

/// The token after `row`, which is never the last of its sequence.
std::size_t target_of(const Batch& batch, Index in_batch, Index row) {
  const auto i = static_cast<std::size_t>(in_batch);
  return static_cast<std::size_t>(batch.sequences[i][static_cast<std::size_t>(row - batch.begin[i] + 1)]);
}

Perplexity summed(const TextWindows& text, std::vector<WindowLoss> windows) {
  Perplexity result;
  result.windows = std::move(windows);
  double loss = 0;
  for (const WindowLoss& window : result.windows) {
    result.targets += window.targets;
    loss += window.loss;
  }
  result.left_out = text.left_out();
  result.mean_loss = loss / static_cast<double>(result.targets);
  result.perplexity = std::exp(result.mean_loss);
  return result;
}

double sum(std::span<const double> values) {
  double total = 0;
  for (const double value : values) total += value;
  return total;
}

/// Losses of the rows of one piece.
std::vector<double> losses(const Batch& batch, Index in_batch, Index first, ConstMatrixView logits) {
  std::vector<double> loss(static_cast<std::size_t>(logits.rows()));
  parallel_for(logits.rows(), [&](Index i) {
    const auto row = logits.row(i);
    loss[static_cast<std::size_t>(i)] = log_sum_exp(row) - row[target_of(batch, in_batch, first + i)];
  });
  return loss;
}

/// One of the models held against the reference, with its sums so far.
struct Compared {
  explicit Compared(const Transformer& transformer) : transformer(transformer), logits(transformer) {}

  void run(const Batch& batch) {
    timed([&] { states = transformer.final_states(batch); });
  }
  ConstMatrixView logits_of(Index row, Index rows) {
    ConstMatrixView result;
    timed([&] { result = logits.of(states.view().block_rows(row, rows)); });
    return result;
  }
  /// Divergences and agreement of rows of logits, p the reference's.
  void add(ConstMatrixView p, ConstMatrixView q) {
    std::vector<double> kl(static_cast<std::size_t>(p.rows()));
    std::vector<Index> same(kl.size());
    parallel_for(p.rows(), [&](Index i) {
      const double log_p = log_sum_exp(p.row(i)), log_q = log_sum_exp(q.row(i));
      double divergence = 0;
      for (Index token = 0; token < p.cols(); ++token) {
        const double log_ratio = (p(i, token) - log_p) - (q(i, token) - log_q);
        divergence += std::exp(p(i, token) - log_p) * log_ratio;
      }
      kl[static_cast<std::size_t>(i)] = divergence;
      same[static_cast<std::size_t>(i)] = best(p.row(i)) == best(q.row(i));
    });
    kl_total += sum(kl);
    for (const Index one : same) agreeing += one;
  }

  const Transformer& transformer;
  WindowLogits logits;
  Matrix states;
  std::vector<WindowLoss> windows;
  double kl_total = 0, seconds = 0;
  Index agreeing = 0;

 private:
  template <typename Work>
  void timed(const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
};

}  // namespace

Perplexity perplexity(const Transformer& transformer, std::span<const std::int32_t> tokens,
                      const WindowOptions& options, std::span<const WindowLoss> done,
                      const OnWindows& on_windows) {
  const TextWindows text(transformer.model(), tokens, options);
  WindowLogits logits(transformer);
  // A pass that was broken off is run again as a whole: rows that share a product share its rounding.
  const Index known = std::min(static_cast<Index>(done.size()), text.count());
  const Index first_open = known == text.count() ? known : known / text.per_pass() * text.per_pass();
  std::vector<WindowLoss> results(done.begin(), done.begin() + first_open);
  Progress progress("Measuring perplexity", text.count() - first_open);
  for (Index first = first_open; first < text.count(); first += text.per_pass()) {
    const Index last = std::min(first + text.per_pass(), text.count());
    const Batch batch = text.batch(first, last);
    progress.expect(last - first);
    const Matrix states = transformer.final_states(batch);
    for (Index window = first; window < last; ++window) {
      WindowLoss result{text.begin(window), text.targets(window), 0};
      for_predicting_rows(text, batch, window - first, window, logits.rows(), [&](Index row, Index rows) {
        result.loss +=
            sum(losses(batch, window - first, row, logits.of(states.view().block_rows(row, rows))));
      });
      results.push_back(result);
    }
    if (on_windows) on_windows(std::span(results).subspan(static_cast<std::size_t>(std::max(first, known))));
    progress.advance(last - first);
  }
  return summed(text, std::move(results));
}

PredictionShift compare_predictions(const Transformer& reference, const Transformer& other,
                                    std::span<const std::int32_t> tokens, const WindowOptions& options) {
  const Transformer* const others[] = {&other};
  return compare_predictions(reference, others, tokens, options).front();
}

std::vector<PredictionShift> compare_predictions(const Transformer& reference,
                                                 std::span<const Transformer* const> others,
                                                 std::span<const std::int32_t> tokens,
                                                 const WindowOptions& options) {
  const Index vocab = reference.model().config().vocab_size;
  const TextWindows text(reference.model(), tokens, options);
  WindowLogits reference_logits(reference);
  std::vector<WindowLoss> reference_windows;
  std::vector<Compared> compared;
  for (const Transformer* other : others) {
    const ModelConfig& config = other->model().config();
    if (config.vocab_size != vocab)
      throw Error(ErrorKind::kUsage,
                  fmt::format("{} has {} vocabulary entries, {} has {}: their predictions cannot be compared",
                              reference.model().name(), vocab, other->model().name(), config.vocab_size));
    compared.emplace_back(*other);
  }
  Index targets = 0;
  Progress progress("Comparing predictions", text.count());
  for (Index first = 0; first < text.count(); first += text.per_pass()) {
    const Index last = std::min(first + text.per_pass(), text.count());
    const Batch batch = text.batch(first, last);
    const Matrix reference_states = reference.final_states(batch);
    for (Compared& other : compared) other.run(batch);
    for (Index window = first; window < last; ++window) {
      WindowLoss loss{text.begin(window), text.targets(window), 0};
      for (Compared& other : compared) other.windows.push_back(loss);
      for_predicting_rows(
          text, batch, window - first, window, reference_logits.rows(), [&](Index row, Index rows) {
            const ConstMatrixView p = reference_logits.of(reference_states.view().block_rows(row, rows));
            loss.loss += sum(losses(batch, window - first, row, p));
            for (Compared& other : compared) {
              const ConstMatrixView q = other.logits_of(row, rows);
              other.windows.back().loss += sum(losses(batch, window - first, row, q));
              other.add(p, q);
            }
            targets += rows;
          });
      reference_windows.push_back(loss);
    }
    progress.advance(last - first);
  }
  std::vector<PredictionShift> shifts;
  for (Compared& other : compared)
    shifts.push_back({.reference = summed(text, reference_windows),
                      .other = summed(text, std::move(other.windows)),
                      .mean_kl = other.kl_total / static_cast<double>(targets),
                      .top1_agreement = static_cast<double>(other.agreeing) / static_cast<double>(targets),
                      .seconds = other.seconds});
  return shifts;
}

}  // namespace defectoscope
