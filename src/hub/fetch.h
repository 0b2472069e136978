#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

#include "hub/http.h"

namespace defectoscope {

/// A file to fetch and what it must be.
struct FetchSource {
  std::string url;
  std::string name;       ///< in messages
  std::string etag;       ///< the content's hash (ContentHash), or a name that says nothing of the content
  std::int64_t size = 0;  ///< bytes
};

/// Fetches a file to `target` by way of `partial`, which may hold its beginning from an earlier time and
/// keeps what came when this is broken off. Tries again where that may help, from where it stands; starts
/// anew where the server takes no ranges, or where a part from an earlier time turns out to be wrong.
/// `target` appears whole, checked and flushed, or not at all; the caller sees to it that nobody else does
/// the same. `received` counts the bytes of the file that are there, and goes down where a start is made
/// anew. Throws Error(kBadInput): another content, more bytes than said, the ETag changed, refused;
/// kResources: unreachable, disk full; kInterrupted on a stop.
void fetch_file(HttpClient& client, const HubSettings& settings, const std::stop_token& stop,
                const FetchSource& source, const std::filesystem::path& partial,
                const std::filesystem::path& target, std::atomic<std::int64_t>& received);

}  // namespace defectoscope
