#include "base/parallel.h"

#include <omp.h>

#include <algorithm>
#include <exception>
#include <mutex>
#ifdef DEFECTOSCOPE_STD_THREADS
#include <atomic>
#include <thread>
#include <vector>
#endif

#include "base/single_thread.h"

namespace defectoscope {
namespace {

int& configured_threads() {
  static int threads = std::max(1, omp_get_max_threads());
  return threads;
}

#ifdef DEFECTOSCOPE_STD_THREADS
thread_local bool inside_parallel = false;
#endif

}  // namespace

bool in_parallel() {
#ifdef DEFECTOSCOPE_STD_THREADS
  return inside_parallel;
#else
  return omp_in_parallel() != 0;
#endif
}

int thread_count() { return configured_threads(); }

void set_thread_count(int threads) {
  configured_threads() = std::max(1, threads);
  omp_set_num_threads(configured_threads());
}

void parallel_for(Index tiles, const std::function<void(Index)>& body) {
  if (tiles <= 1 || in_parallel()) {
    const SingleThreadScope single_thread;
    for (Index tile = 0; tile < tiles; ++tile) body(tile);
    return;
  }
  std::exception_ptr first;
  std::mutex guard;
  const auto run = [&](Index tile) {
    try {
      const SingleThreadScope single_thread;
      body(tile);
    } catch (...) {
      const std::lock_guard lock(guard);
      if (!first) first = std::current_exception();
    }
  };
#ifdef DEFECTOSCOPE_STD_THREADS
  std::atomic<Index> next{0};
  std::vector<std::jthread> threads(static_cast<std::size_t>(std::min<Index>(thread_count(), tiles)));
  for (std::jthread& thread : threads)
    thread = std::jthread([&] {
      inside_parallel = true;
      for (Index tile = next++; tile < tiles; tile = next++) run(tile);
    });
  threads.clear();
#else
#pragma omp parallel for schedule(dynamic, 1) num_threads(configured_threads())
  for (Index tile = 0; tile < tiles; ++tile) run(tile);
#endif
  if (first) std::rethrow_exception(first);
}

void parallel_ranges(Index count, Index grain, const std::function<void(Index, Index)>& body) {
  const Index step = std::max<Index>(1, grain);
  parallel_for((count + step - 1) / step,
               [&](Index tile) { body(tile * step, std::min(count, (tile + 1) * step)); });
}

}  // namespace defectoscope
