#pragma once

#include <string>
#include <string_view>

#include "hub/repo.h"

namespace defectoscope {

/// `text` with all but letters, digits and "-._~" as %XX; '/' stays where `keep_slash`.
std::string percent_encoded(std::string_view text, bool keep_slash);

/// What the hub says of a repository: commit, files, their sizes and hashes.
std::string listing_url(const std::string& endpoint, const Repo& repo);

/// The names of its branches and tags.
std::string refs_url(const std::string& endpoint, const Repo& repo);

/// A file of a repository at a commit.
std::string file_url(const std::string& endpoint, const Repo& repo, const std::string& commit,
                     const std::string& path);

/// Scheme, host and port: "https://huggingface.co:443". What may be told to one origin is not told to
/// another.
std::string origin(std::string_view url);

}  // namespace defectoscope
