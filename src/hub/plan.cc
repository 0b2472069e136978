#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "hub/cache.h"
#include "hub/listing.h"
#include "hub/retry.h"
#include "hub/selection.h"
#include "hub/snapshot.h"
#include "hub/text_answer.h"
#include "hub/url.h"
#include "hub/workers.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

/// The planner's own requests: texts of some kilobytes, and what the headers say of a file.
class Questions {
 public:
  Questions(const HubSettings& settings, const std::stop_token& stop)
      : settings_(settings), stop_(stop), client_(settings, stop) {}

  /// A failure is a value: the caller may have another way.
  HttpResponse get(const std::string& url, std::string& text) {
    return ask_for_text(client_, settings_, stop_, url, text);
  }

  /// Size and ETag of a file by its headers; those of the hub's own answer, not of where that redirects.
  void ask_for_headers(RepoFile& file, const std::string& url) {
    const HttpResponse response = with_retries(settings_, stop_, [&](bool&) {
      HttpResponse answer = client_.send({.url = url, .method = HttpMethod::kHead});
      // Redirected to another origin: this answer tells of the file.
      if (answer.failure.empty() && answer.status >= 300 && answer.status < 400 &&
          answer.headers.contains("x-linked-etag"))
        answer.status = 200;
      return answer;
    });
    if (!response.ok()) throw_http_error(response, file.path, settings_);
    const auto either = [&](const char* first, const char* second) {
      const std::string value = header(response.headers, first);
      return value.empty() ? header(response.headers, second) : value;
    };
    file.etag = plain_etag(either("x-linked-etag", "etag"));
    const std::string size = either("x-linked-size", "content-length");
    if (!size.empty() && size.size() < 19 &&
        std::ranges::all_of(size, [](char c) { return c >= '0' && c <= '9'; }))
      file.size = std::stoll(size);
    if (!is_blob_name(file.etag) || file.size < 0)
      throw_bad_input({.what = "the server does not say what the file is",
                       .file = url,
                       .expected = "ETag and size",
                       .got = "ETag '" + file.etag + "', size '" + size + "'",
                       .hint = "check HF_ENDPOINT and the proxy"});
  }

 private:
  const HubSettings& settings_;
  const std::stop_token& stop_;
  HttpClient client_;
};

std::vector<std::string> paths_of(const RepoListing& listing) {
  std::vector<std::string> paths;
  for (const RepoFile& file : listing.files) paths.push_back(file.path);
  return paths;
}

[[noreturn]] void not_in_cache(const SnapshotPlan& plan, const std::string& what, const std::string& hint) {
  throw_bad_input({.what = "not in the cache: " + what, .file = plan.repo.text(), .hint = hint});
}

/// The plan when the hub is not asked: everything wanted must be there.
void plan_from_cache(SnapshotPlan& plan, const std::vector<std::string>& include, const RepoCache& cache,
                     const std::string& hint) {
  plan.from_cache = true;
  plan.commit = cache.known_commit(plan.repo.revision);
  const std::vector<std::string> there =
      plan.commit.empty() ? std::vector<std::string>() : cache.files(plan.commit);
  if (there.empty()) not_in_cache(plan, "this revision was never fetched", hint);
  Selection chosen = select_files(there, include, plan.repo.text());
  if (!chosen.index.empty()) {
    const fs::path index = cache.file(plan.commit, chosen.index);
    for (std::string& shard : shards_of(read_file(index), index.string())) {
      if (!std::ranges::binary_search(there, shard)) not_in_cache(plan, shard, hint);
      chosen.files.push_back(std::move(shard));
    }
  }
  plan.folder = cache.snapshot(plan.commit);
  for (std::string& path : chosen.files) {
    const auto size = static_cast<std::int64_t>(fs::file_size(plan.folder / path));
    plan.files.push_back({.path = std::move(path), .size = size, .there = size, .in_snapshot = true});
  }
}

/// Adds what the chosen index names.
void add_shards(Selection& chosen, const RepoListing& listing, const SnapshotPlan& plan,
                const RepoCache& cache, const HubSettings& settings, Questions& questions) {
  if (chosen.index.empty()) return;
  std::string index;
  const fs::path there = cache.file(plan.commit, chosen.index);
  std::error_code error;
  if (fs::is_regular_file(there, error)) {
    index = read_file(there);
  } else {
    const std::string url = file_url(settings.endpoint, plan.repo, plan.commit, chosen.index);
    if (const HttpResponse response = questions.get(url, index); !response.ok())
      throw_http_error(response, chosen.index, settings);
  }
  for (std::string& shard : shards_of(index, plan.repo.text() + "/" + chosen.index)) {
    if (listing.find(shard) == nullptr)
      throw_bad_input({.what = "the index names a shard that the repository does not have",
                       .file = plan.repo.text(),
                       .expected = shard,
                       .hint = "tell the repository's owner"});
    chosen.files.push_back(std::move(shard));
  }
}

/// What the cache has of a file.
PlannedFile look_up(const RepoFile& file, const RepoCache& cache, const std::string& commit) {
  PlannedFile planned{.path = file.path, .etag = file.etag, .size = file.size};
  std::error_code error;
  planned.in_snapshot = fs::is_regular_file(cache.file(commit, file.path), error);
  if (planned.in_snapshot || fs::is_regular_file(cache.blob(file.etag), error))
    planned.there = planned.size;
  else if (const auto part = fs::file_size(cache.partial(file.etag), error); !error)
    planned.there = std::min(static_cast<std::int64_t>(part), planned.size);
  return planned;
}

void plan_from_hub(SnapshotPlan& plan, const std::vector<std::string>& include, const HubSettings& settings,
                   const RepoCache& cache, const std::stop_token& stop) {
  Questions questions(settings, stop);
  std::string text;
  const std::string url = listing_url(settings.endpoint, plan.repo);
  const HttpResponse response = questions.get(url, text);
  if (stop.stop_requested()) throw Error(ErrorKind::kInterrupted, "stopped");
  if (!response.ok()) {
    // Whether a hub that does not answer is an error depends on the cache.
    if (may_pass(response) && !cache.known_commit(plan.repo.revision).empty()) {
      const std::string why =
          response.failure.empty() ? "HTTP " + std::to_string(response.status) : response.failure;
      plan.note = settings.endpoint + " does not answer (" + why + "): using what the cache has of " +
                  plan.repo.text();
      return plan_from_cache(plan, include, cache, "the hub does not answer (" + why + "); try again later");
    }
    throw_http_error(response, plan.repo.text(), settings);
  }
  const RepoListing listing = parse_listing(text, url);
  plan.commit = listing.commit;
  plan.folder = cache.snapshot(plan.commit);
  Selection chosen = select_files(paths_of(listing), include, plan.repo.text());
  add_shards(chosen, listing, plan, cache, settings, questions);
  std::ranges::sort(chosen.files);
  const auto twice = std::ranges::unique(chosen.files);
  chosen.files.erase(twice.begin(), twice.end());
  for (const std::string& path : chosen.files) {
    RepoFile file = *listing.find(path);
    std::error_code error;
    const fs::path there = cache.file(plan.commit, path);
    if (fs::is_regular_file(there, error) && file.size < 0)
      file.size = static_cast<std::int64_t>(fs::file_size(there));
    else if (file.size < 0 || file.etag.empty())
      questions.ask_for_headers(file, file_url(settings.endpoint, plan.repo, plan.commit, path));
    plan.files.push_back(look_up(file, cache, plan.commit));
  }
}

}  // namespace

SnapshotPlan plan_snapshot(const Repo& repo, const std::vector<std::string>& include,
                           const HubSettings& settings) {
  SnapshotPlan plan;
  plan.repo = repo;
  const RepoCache cache(settings.cache, repo);
  if (settings.offline) {
    plan_from_cache(plan, include, cache, "unset HF_HUB_OFFLINE, or download it first");
    return plan;
  }
  run_workers(1, [&](const std::stop_token& stop) { plan_from_hub(plan, include, settings, cache, stop); });
  return plan;
}

}  // namespace defectoscope
