#pragma once

#include <omp.h>

namespace defectoscope {

/// While it lives, OpenMP libraries called from this thread use one thread. parallel_for holds one around
/// every tile: omp_in_parallel() is not enough, since a lone tile runs outside any region and oneDNN chooses
/// its blocking by omp_get_max_threads() even inside one. Code that calls a library outside parallel_for
/// holds its own.
class SingleThreadScope {
 public:
  SingleThreadScope() : saved_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SingleThreadScope() { omp_set_num_threads(saved_); }
  SingleThreadScope(const SingleThreadScope&) = delete;
  SingleThreadScope& operator=(const SingleThreadScope&) = delete;

 private:
  int saved_;
};

}  // namespace defectoscope
