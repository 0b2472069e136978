#include "base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"

namespace defectoscope {
namespace {

std::atomic<bool> interrupted{false};
std::atomic<bool> quiet{false};

std::function<void(const std::string&)>& shown_instead() {
  static std::function<void(const std::string&)> show;
  return show;
}

struct Measured {
  std::mutex mutex;
  std::vector<std::pair<std::string, double>> list;
};
Measured& measured_so_far() {
  static Measured measured;
  return measured;
}

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

thread_local Progress* Progress::innermost_ = nullptr;

Progress::Progress(std::string label, Index total, StepKind steps)
    : label_(std::move(label)),
      total_(std::max<Index>(1, total)),
      steps_(steps),
      start_(Clock::now()),
      last_(start_),
      drawn_(start_),
      apart_(in_parallel()) {
  if (apart_) return;
  outer_ = innermost_;
  if (outer_ != nullptr) outer_->inner_ = this;
  innermost_ = this;
}

Progress::~Progress() {
  if (visible_) std::fputs("\r\033[K", stderr);
  measure();
  if (apart_) return;
  if (outer_ != nullptr) outer_->inner_ = nullptr;
  innermost_ = outer_;
}

void Progress::measure() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  Measured& measured = measured_so_far();
  const std::scoped_lock lock(measured.mutex);
  const auto same = std::ranges::find(measured.list, label_, &std::pair<std::string, double>::first);
  if (same == measured.list.end())
    measured.list.emplace_back(label_, seconds);
  else
    same->second += seconds;
}

std::vector<std::pair<std::string, double>> Progress::measured() {
  Measured& measured = measured_so_far();
  const std::scoped_lock lock(measured.mutex);
  return measured.list;
}

void Progress::set_quiet(bool value) { quiet = value; }

void Progress::show_on(std::function<void(const std::string&)> show) { shown_instead() = std::move(show); }

double Progress::done() const {
  double done = static_cast<double>(done_);
  if (expected_ > 0 && inner_ != nullptr)
    done += static_cast<double>(expected_) * inner_->done() / static_cast<double>(inner_->total_);
  return std::min(done, static_cast<double>(total_));
}

std::optional<double> Progress::seconds_left(Clock::time_point now) const {
  const auto seconds = [](Clock::duration duration) {
    return std::chrono::duration<double>(duration).count();
  };
  const double fresh = done() - static_cast<double>(skipped_);
  if (steps_ == StepKind::kUnlike || fresh <= 0) return std::nullopt;
  const double left = static_cast<double>(total_) - done();
  if (expected_ > 0) return seconds(now - start_) / fresh * left;
  // Of the step in progress only the time is known.
  return std::max(0.0, seconds(last_ - start_) / fresh * left - seconds(now - last_));
}

void Progress::count(Index steps) {
  check_interrupt();
  done_ = std::min(total_, done_ + steps);
  expected_ = 0;
  last_ = Clock::now();
}

void Progress::advance(Index steps) {
  count(steps);
  draw(last_);
}

void Progress::skip(Index steps) {
  count(steps);
  skipped_ = done_;
  start_ = last_;
}

void Progress::draw(Clock::time_point now) {
  const auto& instead = shown_instead();
  const auto waited = [&](Clock::time_point since, double seconds) {
    return instead != nullptr || std::chrono::duration<double>(now - since).count() >= seconds;
  };
  if (apart_ || quiet || !waited(drawn_, 0.1) || (instead == nullptr && !isatty(STDERR_FILENO))) return;
  std::string line;
  bool told = false;  // the time of the outermost that knows it
  std::vector<const Progress*> chain;
  for (const Progress* progress = this; progress != nullptr; progress = progress->outer_)
    if (waited(progress->start_, 2)) chain.push_back(progress);
  if (chain.empty()) return;
  for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
    const Progress& progress = **link;
    if (!line.empty()) line += " · ";
    line += progress.label_;
    if (progress.steps_ == StepKind::kUnlike) {
      line += " " + std::to_string(std::min(progress.done_ + 1, progress.total_)) + " of " +
              std::to_string(progress.total_);
      continue;
    }
    char text[64];
    std::snprintf(text, sizeof text, "  %.0f %%",
                  100.0 * progress.done() / static_cast<double>(progress.total_));
    line += text;
    const auto left = told ? std::nullopt : progress.seconds_left(now);
    if (!left) continue;
    told = true;
    const long seconds = std::lround(*left);
    std::snprintf(text, sizeof text, ", %ld:%02ld left", seconds / 60, seconds % 60);
    line += text;
  }
  drawn_ = now;
  if (instead) {
    instead(line);
    return;
  }
  visible_ = true;
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  std::fflush(stderr);
}

}  // namespace defectoscope
