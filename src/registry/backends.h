#pragma once

#include <memory>
#include <string>

#include "registry/database.h"

namespace defectoscope {

/// See open_database. SQLite: write-ahead log, so that readers and the one writer do not stop each other.
std::unique_ptr<Database> open_sqlite(const std::string& path, Access access, int wait_seconds);
std::unique_ptr<Database> open_postgresql(const std::string& uri, int wait_seconds);

}  // namespace defectoscope
