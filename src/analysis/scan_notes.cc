#include "analysis/scan_notes.h"

#include <fmt/format.h>

namespace defectoscope {
namespace {

constexpr double kMild = 4;  // times the ordinary norm

void note_calibration(const ScanOptions& options, ScanResult& result) {
  const CalibrationInfo& used = result.calibration;
  if (used.drawn)
    result.notes.push_back(
        "A model that sees what comes after writes no text of its own: calibrated on random vocabulary "
        "entries. --text FILE calibrates on text.");
  if (used.settled_early && result.high_norm.count > 0)
    result.notes.push_back(fmt::format(
        "The empirical direction had settled to within 0.1 degrees after {} rows ({} tokens); the "
        "rest was not run.",
        used.rows_used, used.tokens));
  else if (used.settled_early)
    result.notes.push_back(
        fmt::format("No token was special in the first {} rows ({} tokens); the rest was not run.",
                    used.rows_used, used.tokens));
  else if (!options.text.empty() && used.rows_available < options.rows)
    result.notes.push_back(
        fmt::format("The text has {} rows; {} were asked for.", used.rows_available, options.rows));
}

void note_high_norms(ScanResult& result) {
  const HighNorm& high = result.high_norm;
  if (high.count == 0) {
    result.notes.push_back(high.threshold_given
                               ? fmt::format("No hidden state has a norm above {}.", high.threshold)
                               : "No token is special: in no layer do some norms stand apart from the rest.");
    return;
  }
  if (high.angle_states < high.count)
    result.notes.push_back(
        fmt::format("The mean pairwise angle is over a seeded draw of {} of the {} high-norm "
                    "states.",
                    high.angle_states, high.count));
  if (high.median_ratio < kMild && !high.threshold_given)
    result.notes.push_back(
        fmt::format("The effect is mild: high norms are {:.1f} times the ordinary norm.", high.median_ratio));
  if (result.gradual_growth)
    result.notes.push_back(
        "High norms grow over many layers, none of which stands out: those are not explosion layers.");
  else if (result.explosion_layers.empty())
    result.notes.push_back("High norms exist, but no layer makes them abruptly.");
  if (result.gradual_decay)
    result.notes.push_back(
        "High norms shrink over many layers, none of which stands out: those are not decay layers.");
  else if (result.decay_layers.empty())
    result.notes.push_back("No layer removes the high norms: they last to the end.");
  if (high.initial_occurrences == 0)
    result.notes.push_back(
        "Only later tokens have high norms; the first position means nothing to this model.");
}

}  // namespace

void add_notes(const ScanOptions& options, ScanResult& result) {
  note_calibration(options, result);
  note_high_norms(result);
}

}  // namespace defectoscope
