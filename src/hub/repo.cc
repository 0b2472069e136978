#include "hub/repo.h"

#include <algorithm>

#include "base/error.h"

namespace defectoscope {
namespace {

constexpr std::string_view kScheme = "hf://";
constexpr std::string_view kDatasets = "datasets/", kModels = "models/";

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// The hub's rules for one part of a name.
bool is_name(std::string_view part) {
  const auto edge = [](char c) { return c == '-' || c == '.'; };
  return !part.empty() && part.size() <= 96 && !edge(part.front()) && !edge(part.back()) &&
         std::ranges::all_of(part,
                             [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_repo_id(std::string_view id) {
  const std::size_t slash = id.find('/');
  const bool names = slash == std::string_view::npos
                         ? is_name(id)
                         : is_name(id.substr(0, slash)) && is_name(id.substr(slash + 1));
  return names && id.find("--") == std::string_view::npos && id.find("..") == std::string_view::npos &&
         !id.ends_with(".git");
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string Repo::text() const {
  return (kind == RepoKind::kDataset ? std::string(kDatasets) : std::string()) + id +
         (revision == "main" ? "" : "@" + revision);
}

std::string Repo::folder_name() const {
  std::string name = kind == RepoKind::kDataset ? "datasets--" : "models--";
  for (const char c : id) name += c == '/' ? std::string("--") : std::string(1, c);
  return name;
}

bool is_hub_address(std::string_view text) { return text.starts_with(kScheme); }

Repo parse_repo(std::string_view text) {
  std::string_view rest = text;
  take_prefix(rest, kScheme);
  Repo repo;
  if (take_prefix(rest, kDatasets))
    repo.kind = RepoKind::kDataset;
  else
    take_prefix(rest, kModels);
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    repo.revision = rest.substr(at + 1);
    rest = rest.substr(0, at);
  }
  repo.id = rest;
  if (!is_repo_id(repo.id))
    throw Error(ErrorKind::kUsage,
                {.what = "not the name of a repository on the hub",
                 .expected = "org/name or org/name@revision, of letters, digits, '-', '_', '.'",
                 .got = std::string(text),
                 .hint = "copy the name from the model's page"});
  if (!is_safe_path(repo.revision))
    throw Error(ErrorKind::kUsage, {.what = "not a revision",
                                    .expected = "a branch, a tag or a commit",
                                    .got = repo.revision,
                                    .hint = "leave out @revision for the main branch"});
  return repo;
}

bool is_commit(std::string_view revision) {
  return revision.size() == 40 && std::ranges::all_of(revision, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > 1024) return false;
  for (const char c : path)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') return false;
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace defectoscope
