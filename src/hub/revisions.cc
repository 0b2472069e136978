#include "hub/revisions.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/strict_json.h"
#include "hub/cache.h"
#include "hub/retry.h"
#include "hub/text_answer.h"
#include "hub/url.h"
#include "hub/workers.h"

namespace defectoscope {
namespace {

[[noreturn]] void no_list(const std::string& url, const std::string& expected, const std::string& got) {
  throw_bad_input({.what = "the list of revisions is not as the hub's",
                   .file = url,
                   .expected = expected,
                   .got = shortened(got),
                   .hint = "check HF_ENDPOINT and the proxy"});
}

}  // namespace

std::vector<std::string> parse_revisions(std::string_view text, const std::string& url) {
  const nlohmann::json answer = parse_strict_json(text, url);
  if (!answer.is_object() || !answer.contains("branches"))
    no_list(url, "an object with branches", answer.dump());
  std::vector<std::string> names;
  for (const char* kind : {"branches", "tags"}) {
    const auto list = answer.find(kind);
    if (list == answer.end()) continue;
    if (!list->is_array()) no_list(url, "a list of names", list->dump());
    for (const nlohmann::json& entry : *list) {
      const auto name = entry.is_object() ? entry.find("name") : entry.end();
      if (!entry.is_object() || name == entry.end() || !name->is_string() ||
          !is_safe_path(name->get<std::string>()))
        no_list(url, "a name that stays inside its folder", entry.dump());
      names.push_back(*name);
    }
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return names;
}

std::vector<std::string> list_revisions(const Repo& repo, const HubSettings& settings) {
  if (settings.offline) return RepoCache(settings.cache, repo).revisions();
  const std::string url = refs_url(settings.endpoint, repo);
  std::vector<std::string> names;
  run_workers(1, [&](const std::stop_token& stop) {
    HttpClient client(settings, stop);
    std::string text;
    const HttpResponse response = ask_for_text(client, settings, stop, url, text);
    if (stop.stop_requested()) throw Error(ErrorKind::kInterrupted, "stopped");
    if (!response.ok()) throw_http_error(response, repo.id, settings);
    names = parse_revisions(text, url);
  });
  return names;
}

std::vector<std::string> matching_revisions(const Repo& repo, const HubSettings& settings) {
  std::vector<std::string> names = list_revisions(repo, settings);
  const std::size_t all = names.size();
  std::erase_if(
      names, [&](const std::string& name) { return fnmatch(repo.revision.c_str(), name.c_str(), 0) != 0; });
  if (names.empty())
    throw_bad_input(
        {.what = "no revision matches the pattern",
         .file = repo.id,
         .expected = "a branch or tag like '" + repo.revision + "'",
         .got = fmt::format("{} branches and tags{}", all,
                            settings.offline ? " in the cache, the hub not asked" : ""),
         .hint = settings.offline ? "unset HF_HUB_OFFLINE" : "the model's page lists its branches"});
  return names;
}

}  // namespace defectoscope
