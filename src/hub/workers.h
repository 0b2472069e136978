#pragma once

#include <functional>
#include <stop_token>

namespace defectoscope {

/// Runs `work` on `count` threads that mostly wait (for the network, for locks), and `poll` on this one ten
/// times a second until they have ended. What a worker or `poll` throws first, check_interrupt() included,
/// stops the others and is rethrown here when they have ended.
void run_workers(int count, const std::function<void(const std::stop_token&)>& work,
                 const std::function<void()>& poll = {});

}  // namespace defectoscope
