#include "hub/disk_space.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "hub/cache.h"

namespace defectoscope {

std::int64_t free_bytes(std::filesystem::path folder) {
  std::error_code error;
  while (!std::filesystem::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  struct statvfs status{};
  if (::statvfs(folder.c_str(), &status) != 0) throw_cache_error("cannot ask for free space", folder);
  return static_cast<std::int64_t>(status.f_bavail) * static_cast<std::int64_t>(status.f_frsize);
}

void check_disk_space(const std::filesystem::path& folder, std::int64_t bytes) {
  const std::int64_t free = free_bytes(folder);
  if (bytes <= free) return;
  throw Error(ErrorKind::kResources,
              {.what = "the disk is too small",
               .file = folder.string(),
               .expected = size_text(bytes) + " free",
               .got = size_text(free),
               .hint = "make room, or set HF_HUB_CACHE to a folder on another disk; nothing was fetched"});
}

std::string size_text(std::int64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace defectoscope
