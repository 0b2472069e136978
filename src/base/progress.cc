#include "base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>

#include "base/error.h"

namespace defectoscope {
namespace {

std::atomic<bool> interrupted{false};
std::atomic<bool> quiet{false};

extern "C" void on_signal(int signal) {
  if (interrupted.exchange(true)) _exit(128 + signal);
}

}  // namespace

void check_interrupt() {
  if (interrupted) throw Error(ErrorKind::kInterrupted, "interrupted; the same command resumes the work");
}

void install_interrupt_handlers() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

void request_interrupt() { interrupted = true; }
void clear_interrupt() { interrupted = false; }

Progress::Progress(std::string label, Index total)
    : label_(std::move(label)), total_(std::max<Index>(1, total)), start_(Clock::now()), drawn_(start_) {}

Progress::~Progress() {
  if (visible_) std::fputs("\r\033[K", stderr);
}

void Progress::set_quiet(bool value) { quiet = value; }

void Progress::advance(Index steps) {
  check_interrupt();
  done_ = std::min(total_, done_ + steps);
  const auto now = Clock::now();
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  if (quiet || elapsed < 2.0 || std::chrono::duration<double>(now - drawn_).count() < 0.1 ||
      !isatty(STDERR_FILENO))
    return;
  drawn_ = now;
  visible_ = true;
  const double done = static_cast<double>(done_);
  const auto left = std::lround(elapsed * (static_cast<double>(total_) - done) / std::max(done, 1.0));
  std::fprintf(stderr, "\r\033[K%s  %3.0f %%  %ld:%02ld left", label_.c_str(),
               100.0 * done / static_cast<double>(total_), left / 60, left % 60);
  std::fflush(stderr);
}

}  // namespace defectoscope
