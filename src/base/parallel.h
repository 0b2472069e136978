#pragma once

#include <functional>

#include "base/index.h"

namespace defectoscope {

/// Number of threads parallel_for uses; at least 1. Default: OMP_NUM_THREADS or the processors at hand.
int thread_count();
void set_thread_count(int threads);

/// Runs body(0) .. body(tiles - 1), each once, on up to thread_count() threads, in no particular order.
///
/// The way to stay deterministic: the caller's tiles do not depend on the number of threads, and no two
/// tiles add into the same place. The first exception a body throws is rethrown here after the others end.
/// Inside a body, OpenMP libraries (oneDNN, OpenBLAS) run on one thread. Nested calls run serially.
void parallel_for(Index tiles, const std::function<void(Index)>& body);

/// Whether this runs inside a body of parallel_for.
bool in_parallel();

/// parallel_for over [0, count) cut into ranges of `grain`: body(begin, end).
void parallel_ranges(Index count, Index grain, const std::function<void(Index, Index)>& body);

}  // namespace defectoscope
