#include "hub/cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/files.h"

namespace defectoscope {
namespace fs = std::filesystem;

RepoCache::RepoCache(fs::path cache, const Repo& repo)
    : root_(std::move(cache)),
      folder_(root_ / repo.folder_name()),
      locks_(root_ / ".locks" / repo.folder_name()) {}

fs::path RepoCache::blob(const std::string& etag) const { return folder_ / "blobs" / etag; }
fs::path RepoCache::partial(const std::string& etag) const {
  return folder_ / "blobs" / (etag + ".incomplete");
}
fs::path RepoCache::lock(const std::string& etag) const { return locks_ / (etag + ".lock"); }
fs::path RepoCache::snapshot(const std::string& commit) const { return folder_ / "snapshots" / commit; }
fs::path RepoCache::file(const std::string& commit, const std::string& path) const {
  return snapshot(commit) / path;
}

std::string RepoCache::known_commit(const std::string& revision) const {
  if (is_commit(revision)) return revision;
  const fs::path ref = folder_ / "refs" / revision;
  std::error_code error;
  if (!fs::is_regular_file(ref, error)) return {};
  std::string commit = read_file(ref);
  while (!commit.empty() && static_cast<unsigned char>(commit.back()) <= ' ') commit.pop_back();
  return is_commit(commit) ? commit : std::string();
}

std::vector<std::string> RepoCache::revisions() const {
  std::vector<std::string> names;
  const fs::path refs = folder_ / "refs";
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(refs, error))
    if (entry.is_regular_file(error)) names.push_back(entry.path().lexically_relative(refs).generic_string());
  std::ranges::sort(names);
  return names;
}

void RepoCache::remember_commit(const std::string& revision, const std::string& commit) const {
  if (is_commit(revision) || known_commit(revision) == commit) return;
  const fs::path ref = folder_ / "refs" / revision;
  make_cache_folder(ref.parent_path());
  write_file(ref, commit);
}

void RepoCache::link(const std::string& commit, const std::string& path, const std::string& etag) const {
  const fs::path pointer = file(commit, path);
  make_cache_folder(pointer.parent_path());
  const fs::path target = blob(etag).lexically_relative(pointer.parent_path());
  static std::atomic<unsigned> serial{0};
  fs::path fresh = pointer;
  fresh += ".link" + std::to_string(::getpid()) + "-" + std::to_string(serial++);
  if (::symlink(target.c_str(), fresh.c_str()) != 0) throw_cache_error("cannot make a link", pointer);
  if (::rename(fresh.c_str(), pointer.c_str()) != 0) {
    const int why = errno;
    ::unlink(fresh.c_str());
    errno = why;
    throw_cache_error("cannot make a link", pointer);
  }
}

std::vector<std::string> RepoCache::files(const std::string& commit) const {
  const fs::path top = snapshot(commit);
  std::vector<std::string> found;
  std::error_code error;
  for (fs::recursive_directory_iterator it(top, error), end; !error && it != end; it.increment(error))
    if (std::error_code other; it->is_regular_file(other))
      found.push_back(it->path().lexically_relative(top).generic_string());
  std::ranges::sort(found);
  return found;
}

void RepoCache::tag() const {
  const fs::path file = root_ / "CACHEDIR.TAG";
  std::error_code error;
  if (!fs::exists(file, error)) write_file(file, "Signature: 8a477f597d28d172789f06886806bc55\n");
}

bool is_blob_name(const std::string& etag) {
  return !etag.empty() && etag.size() <= 128 && etag.front() != '.' &&
         std::ranges::all_of(etag, [](unsigned char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                  c == '_' || c == '.';
         });
}

std::string plain_etag(std::string value) {
  if (value.starts_with("W/")) value.erase(0, 2);
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  return value;
}

void throw_cache_error(const std::string& what, const fs::path& path) {
  throw Error(ErrorKind::kResources,
              {.what = what + ": " + std::strerror(errno),
               .file = path.string(),
               .hint = "check free space and permissions; HF_HOME or HF_HUB_CACHE chooses another place"});
}

void make_cache_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    errno = error.value();
    throw_cache_error("cannot make folder", path);
  }
}

}  // namespace defectoscope
