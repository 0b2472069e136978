#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace defectoscope {

/// Throws Error(kResources) where `bytes` more do not fit where `folder` (or its nearest parent there is)
/// lies.
void check_disk_space(const std::filesystem::path& folder, std::int64_t bytes);

/// Bytes a user may still write there. Throws Error(kResources).
std::int64_t free_bytes(std::filesystem::path folder);

/// "12.6 GiB", for people.
std::string size_text(std::int64_t bytes);

}  // namespace defectoscope
