#include "hub/workers.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/progress.h"

namespace defectoscope {

void run_workers(int count, const std::function<void(const std::stop_token&)>& work,
                 const std::function<void()>& poll) {
  std::mutex mutex;
  std::condition_variable ended;
  std::exception_ptr first;
  std::stop_source stop;
  int running = count;
  const auto record = [&](std::exception_ptr error) {
    const std::scoped_lock lock(mutex);
    if (!first) first = std::move(error);
    stop.request_stop();
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < count; ++i)
      threads.emplace_back([&] {
        try {
          work(stop.get_token());
        } catch (...) {
          record(std::current_exception());
        }
        const std::scoped_lock lock(mutex);
        --running;
        ended.notify_all();
      });
    std::unique_lock lock(mutex);
    while (!ended.wait_for(lock, std::chrono::milliseconds(100), [&] { return running == 0; })) {
      lock.unlock();
      try {
        check_interrupt();
        if (poll) poll();
      } catch (...) {
        record(std::current_exception());
      }
      lock.lock();
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace defectoscope
