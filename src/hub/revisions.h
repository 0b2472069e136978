#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hub/repo.h"
#include "hub/settings.h"

namespace defectoscope {

/// Names of branches and tags in the answer of /api/models/{id}/refs, sorted, each once. Throws
/// Error(kBadInput) naming `url`: not JSON, no list of branches, a name that would leave the cache folder.
std::vector<std::string> parse_revisions(std::string_view json, const std::string& url);

/// Of a repository, as the hub lists them: one request. Offline, those the cache has seen. Throws Error as
/// throw_http_error does, and as parse_revisions.
std::vector<std::string> list_revisions(const Repo& repo, const HubSettings& settings);

/// Those of them that `repo.revision`, a pattern of the shell's ('step*', '?', '[...]'), matches. Throws
/// Error(kBadInput) where it is none of them, and as list_revisions.
std::vector<std::string> matching_revisions(const Repo& repo, const HubSettings& settings);

}  // namespace defectoscope
