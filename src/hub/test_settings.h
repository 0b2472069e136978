#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/test_files.h"
#include "hub/settings.h"
#include "hub/test_hub.h"

namespace defectoscope::testing_hub {

/// The waits asked for, in seconds; none is waited.
struct Waits {
  std::mutex mutex;
  std::vector<long> seconds;
};

/// Settings for a hub on this machine, with a cache below `folder`; waits are written down, not waited.
inline HubSettings test_settings(const std::string& endpoint, const std::filesystem::path& folder,
                                 const std::shared_ptr<Waits>& waits) {
  HubSettings settings;
  settings.endpoint = endpoint;
  settings.cache = folder / "hub";
  settings.assets = folder / "assets";
  settings.connect_seconds = 2;
  settings.wait = [waits](std::chrono::milliseconds time, const std::stop_token&) {
    const std::scoped_lock lock(waits->mutex);
    waits->seconds.push_back(static_cast<long>(time.count() / 1000));
  };
  return settings;
}

/// Text that no two places of are alike.
inline std::string content_of(std::size_t bytes, unsigned seed) {
  std::string content(bytes, '\0');
  unsigned state = seed * 2654435761U + 1;
  for (char& c : content) {
    state = state * 1664525U + 1013904223U;
    c = static_cast<char>(state >> 24);
  }
  return content;
}

}  // namespace defectoscope::testing_hub
