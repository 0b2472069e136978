#include "base/parallel.h"

#include <omp.h>

#include <algorithm>
#include <exception>
#include <mutex>

namespace defectoscope {
namespace {

int& configured_threads() {
  static int threads = std::max(1, omp_get_max_threads());
  return threads;
}

}  // namespace

int thread_count() { return configured_threads(); }

void set_thread_count(int threads) {
  configured_threads() = std::max(1, threads);
  omp_set_num_threads(configured_threads());
}

void parallel_for(Index tiles, const std::function<void(Index)>& body) {
  if (tiles <= 1 || omp_in_parallel()) {
    for (Index tile = 0; tile < tiles; ++tile) body(tile);
    return;
  }
  std::exception_ptr first;
  std::mutex guard;
  // A region even at one thread: libraries that look at omp_in_parallel() then take the same path.
#pragma omp parallel for schedule(dynamic, 1) num_threads(configured_threads())
  for (Index tile = 0; tile < tiles; ++tile) {
    try {
      body(tile);
    } catch (...) {
      const std::lock_guard lock(guard);
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

void parallel_ranges(Index count, Index grain, const std::function<void(Index, Index)>& body) {
  const Index step = std::max<Index>(1, grain);
  parallel_for((count + step - 1) / step,
               [&](Index tile) { body(tile * step, std::min(count, (tile + 1) * step)); });
}

}  // namespace defectoscope
