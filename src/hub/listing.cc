#include "hub/listing.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/strict_json.h"
#include "hub/content_hash.h"
#include "hub/repo.h"

namespace defectoscope {
namespace {

using nlohmann::json;

[[noreturn]] void fail(const std::string& url, const std::string& key, const std::string& expected,
                       const std::string& got) {
  throw_bad_input({.what = "the list of files is not as the hub's",
                   .file = url,
                   .tensor = key,
                   .expected = expected,
                   .got = shortened(got),
                   .hint = "check HF_ENDPOINT and the proxy"});
}

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

RepoFile read_file_entry(const json& entry, const std::string& url) {
  if (!entry.is_object()) fail(url, "siblings", "an object", entry.dump());
  RepoFile file;
  file.path = text_at(entry, "rfilename");
  if (!is_safe_path(file.path)) fail(url, "rfilename", "a relative path inside the repository", entry.dump());
  const auto lfs = entry.find("lfs");
  const bool large = lfs != entry.end() && lfs->is_object();
  file.etag = large ? text_at(*lfs, "sha256") : text_at(entry, "blobId");
  if (!is_content_hash(file.etag)) file.etag.clear();
  const json& sized = large && lfs->contains("size") ? *lfs : entry;
  if (const auto size = sized.find("size"); size != sized.end() && !size->is_null()) {
    if (!size->is_number_unsigned() || size->get<std::uint64_t>() > std::uint64_t{1} << 62)
      fail(url, file.path, "a size in bytes", size->dump());
    file.size = size->get<std::int64_t>();
  }
  return file;
}

}  // namespace

const RepoFile* RepoListing::find(std::string_view path) const {
  const auto found = std::ranges::lower_bound(files, path, {}, &RepoFile::path);
  return found != files.end() && found->path == path ? &*found : nullptr;
}

RepoListing parse_listing(std::string_view text, const std::string& url) {
  const json answer = parse_strict_json(text, url);
  if (!answer.is_object()) fail(url, "", "an object", answer.dump());
  RepoListing listing;
  listing.commit = text_at(answer, "sha");
  if (!is_commit(listing.commit)) fail(url, "sha", "a commit, 40 hexadecimal digits", listing.commit);
  if (const auto gated = answer.find("gated"); gated != answer.end())
    listing.gated = gated->is_string() || (gated->is_boolean() && gated->get<bool>());
  const auto siblings = answer.find("siblings");
  if (siblings == answer.end() || !siblings->is_array()) fail(url, "siblings", "a list of files", "none");
  for (const json& entry : *siblings) listing.files.push_back(read_file_entry(entry, url));
  std::ranges::sort(listing.files, {}, &RepoFile::path);
  const auto twice = std::ranges::adjacent_find(listing.files, {}, &RepoFile::path);
  if (twice != listing.files.end()) fail(url, "siblings", "each file once", twice->path + " twice");
  return listing;
}

}  // namespace defectoscope
