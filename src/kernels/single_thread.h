#pragma once

#include <omp.h>

namespace defectoscope {

/// While it lives, libraries called from this thread see one thread. parallel_for runs a lone tile outside
/// any parallel region, and even inside one oneDNN chooses its blocking by omp_get_max_threads(): without
/// this, results would depend on the number of threads.
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
