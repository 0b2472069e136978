#pragma once

#include <chrono>
#include <string>

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

/// A progress line on stderr with the remaining time. Silent when stderr is no terminal, when set_quiet,
/// and for the first two seconds, so that quick work prints nothing. Not for use inside parallel_for.
class Progress {
 public:
  /// `total` steps of work; the line reads "<label>  37 %  0:12 left".
  Progress(std::string label, Index total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Counts steps done and redraws at most ten times a second. Throws Error(kInterrupted), see above.
  void advance(Index steps = 1);

  static void set_quiet(bool quiet);

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  Index total_;
  Index done_ = 0;
  Clock::time_point start_;
  Clock::time_point drawn_;
  bool visible_ = false;
};

}  // namespace defectoscope
