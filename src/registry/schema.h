#pragma once

#include <functional>
#include <span>

#include "registry/database.h"

namespace defectoscope {

/// One step of the database's form; numbered from 1 in the order of the list.
struct Migration {
  const char* what;
  std::function<void(Database&)> apply;
};

/// Those of this program. A change of the form is another step at the end, never an edit of one.
std::span<const Migration> migrations();

/// The form's version, 0 for a database without one. Throws Error(kBadInput) for a database of a newer form
/// than `known`, or for a file that holds other tables.
Index schema_version(Database& database, Index known);

/// Brings the database to the last step, all in one transaction: a step that fails leaves it as it was. Asks
/// for the writer's place only where a step is missing.
void migrate(Database& database, std::span<const Migration> steps);

}  // namespace defectoscope
