#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// Stops the program's work at the next step: throws Error(kInterrupted) once SIGINT or SIGTERM came.
/// Cheap; called by Progress::advance and by loops that have none.
void check_interrupt();
/// Installs the handlers for SIGINT and SIGTERM. A second signal ends the program at once.
void install_interrupt_handlers();
/// What the handlers do; for tests.
void request_interrupt();
void clear_interrupt();

/// What the steps of a Progress have in common.
enum class StepKind {
  kAlike,  ///< they take about as long: what is left can be told from what is done
  kUnlike  ///< they do not: only their number is shown
};

/// A progress line on stderr with the remaining time. One that lives while another does is a part of it; the
/// line names both: "Taking the census  37 %, 0:12 left · Running the layers  50 %". Silent when stderr is no
/// terminal, when set_quiet, and for the first two seconds of each, so that quick work prints nothing. Inside
/// parallel_for it counts, and shows nothing.
class Progress {
 public:
  /// `total` steps of work.
  Progress(std::string label, Index total, StepKind steps = StepKind::kAlike);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Counts steps done and redraws at most ten times a second. Throws Error(kInterrupted), see above.
  void advance(Index steps = 1);
  /// Counts steps that an earlier run did: they tell nothing of the time that others take. Throws alike.
  void skip(Index steps = 1);
  /// The next advance() will be of so many steps, and what is between is one other Progress, whose share of
  /// them then counts as done.
  void expect(Index steps = 1) { expected_ = steps; }

  static void set_quiet(bool quiet);
  /// Shows lines elsewhere than on stderr, and without waiting; for tests. Empty: on stderr again.
  static void show_on(std::function<void(const std::string& line)> show);
  /// What every Progress of this process that has ended took: label and seconds, one entry a label, in the
  /// order in which they first ended. One may have run inside another.
  static std::vector<std::pair<std::string, double>> measured();

 private:
  void measure() const;
  using Clock = std::chrono::steady_clock;
  double done() const;  ///< with the share of a part in progress
  std::optional<double> seconds_left(Clock::time_point now) const;
  void count(Index steps);
  void draw(Clock::time_point now);

  std::string label_;
  Index total_;
  StepKind steps_;
  Index done_ = 0, skipped_ = 0, expected_ = 0;
  Clock::time_point start_;
  Clock::time_point last_;  ///< when done_ last grew
  Clock::time_point drawn_;
  bool visible_ = false;
  bool apart_;  ///< inside parallel_for
  Progress* outer_ = nullptr;
  const Progress* inner_ = nullptr;
  static thread_local Progress* innermost_;
};

}  // namespace defectoscope
