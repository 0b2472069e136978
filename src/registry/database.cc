#include "registry/database.h"

#include "registry/backends.h"

namespace defectoscope {

std::unique_ptr<Database> open_database(const std::string& where, Access access, int wait_seconds) {
  if (where.starts_with("postgresql://") || where.starts_with("postgres://"))
    return open_postgresql(where, wait_seconds);
  return open_sqlite(where, access, wait_seconds);
}

std::string without_password(const std::string& uri) {
  std::string shown = uri;
  const std::size_t begin = uri.find("://") == uri.npos ? 0 : uri.find("://") + 3;
  // A password may hold an @ of its own; the host's is the last before the path.
  const std::size_t at = uri.substr(0, uri.find_first_of("/?", begin)).rfind('@');
  const std::size_t colon = uri.find(':', begin);
  if (at != uri.npos && at > begin && colon < at) shown.replace(colon + 1, at - colon - 1, "***");
  const std::string key = "password=";
  for (std::size_t found = shown.find(key); found != shown.npos; found = shown.find(key, found)) {
    found += key.size();
    shown.replace(found, shown.find('&', found) - found, "***");
  }
  return shown;
}

}  // namespace defectoscope
