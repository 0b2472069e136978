#pragma once

#include <string>
#include <vector>

#include "registry/registry.h"
#include "report/section.h"

namespace defectoscope {

/// Of `registry list`: a table for a person; JSON by schema "defectoscope.registry-list/1"; CSV. `place` is
/// the registry's name (Database::name).
std::string registry_list_text(const std::vector<RegisteredModel>& models, const std::string& place);
std::string registry_list_json(const std::vector<RegisteredModel>& models, const std::string& place);
std::string registry_list_csv(const std::vector<RegisteredModel>& models);

/// Of `registry search`: the nearest models with their verdicts in words; JSON by schema
/// "defectoscope.registry-search/1"; CSV.
std::string registry_search_text(const SearchResult& result, const std::string& place);
std::string registry_search_json(const SearchResult& result, const std::string& place);
std::string registry_search_csv(const SearchResult& result);

/// What `registry add` says of one model, a line.
std::string added_text(const Added& added);

}  // namespace defectoscope
