#include "hub/settings.h"

#include <algorithm>
#include <cctype>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>

#include "base/error.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string first_set(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (std::string value = variable(name); !value.empty()) return value;
  return {};
}

bool is_true(const char* name) {
  std::string value = variable(name);
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return std::toupper(c); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

/// A path from the environment; a leading ~ is the home folder.
fs::path path_of(const std::string& text) {
  if (text == "~" || text.starts_with("~/")) return fs::path(variable("HOME") + text.substr(1));
  return text;
}

fs::path path_or(std::initializer_list<const char*> names, const fs::path& otherwise) {
  const std::string value = first_set(names);
  return fs::absolute(value.empty() ? otherwise : path_of(value));
}

std::string without_space(std::string text) {
  std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0; });
  return text;
}

std::string token_of(const fs::path& home) {
  if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return {};
  if (std::string token = without_space(first_set({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})); !token.empty())
    return token;
  std::ifstream file(path_or({"HF_TOKEN_PATH"}, home / "token"));
  std::string token;
  std::getline(file, token);
  return without_space(token);
}

void wait_for(std::chrono::milliseconds time, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any condition;
  std::unique_lock lock(mutex);
  condition.wait_for(lock, stop, time, [] { return false; });
}

}  // namespace

HubSettings HubSettings::from_environment() {
  HubSettings settings;
  const fs::path cache_home = path_or({"XDG_CACHE_HOME"}, path_of("~/.cache"));
  const fs::path home = path_or({"HF_HOME"}, cache_home / "huggingface");
  settings.cache = path_or({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}, home / "hub");
  settings.assets = path_or({"HF_ASSETS_CACHE", "HUGGINGFACE_ASSETS_CACHE"}, home / "assets");
  settings.token = token_of(home);
  settings.offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE");
  settings.certificates = first_set({"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"});
  if (std::string url = variable("HF_ENDPOINT"); !url.empty()) {
    while (url.ends_with('/')) url.pop_back();
    if (!url.starts_with("http://") && !url.starts_with("https://"))
      throw Error(ErrorKind::kUsage,
                  {.what = "HF_ENDPOINT is no address", .expected = "https://...", .got = url});
    settings.endpoint = url;
  }
  if (const std::string url = variable("DEFECTOSCOPE_WIKITEXT_V1_URL"); !url.empty())
    settings.wikitext_v1_url = url;
  if (const int seconds = std::atoi(variable("HF_HUB_ETAG_TIMEOUT").c_str()); seconds > 0)
    settings.connect_seconds = seconds;
  settings.wait = wait_for;
  return settings;
}

}  // namespace defectoscope
