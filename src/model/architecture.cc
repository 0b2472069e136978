#include "model/architecture.h"

#include <algorithm>

#include "model/families/families.h"

namespace defectoscope {
namespace {

const std::vector<ArchitectureSpec>& rows() {
  static const std::vector<ArchitectureSpec> kRows = all_families();
  return kRows;
}

}  // namespace

std::span<const ArchitectureSpec> architectures() { return rows(); }

const ArchitectureSpec* find_architecture(std::string_view model_type) {
  for (const ArchitectureSpec& row : rows())
    if (row.when.empty() && std::ranges::find(row.model_types, model_type) != row.model_types.end())
      return &row;
  for (const ArchitectureSpec& row : rows())
    if (row.when.empty() && row.name == model_type) return &row;
  return nullptr;
}

std::string known_model_types() {
  std::string list;
  for (const ArchitectureSpec& row : rows()) {
    if (!row.when.empty()) continue;
    for (const std::string_view type : row.model_types)
      list += (list.empty() ? "" : ", ") + std::string(type);
  }
  return list;
}

}  // namespace defectoscope
