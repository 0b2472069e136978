#include "hub/retry.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"

namespace defectoscope {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kLongestWait{300};

std::optional<seconds> whole_seconds(std::string_view text) {
  long long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data() || value < 0) return std::nullopt;
  return seconds(std::min<long long>(value, kLongestWait.count()));
}

/// What the server asks for.
std::optional<seconds> asked_delay(const HttpHeaders& headers, std::chrono::system_clock::time_point now) {
  if (const std::string value = header(headers, "retry-after"); !value.empty()) {
    if (const auto delay = whole_seconds(value)) return delay;
    const time_t date = curl_getdate(value.c_str(), nullptr);
    if (date >= 0)
      return std::clamp(seconds(date - std::chrono::system_clock::to_time_t(now)), seconds(0), kLongestWait);
  }
  const std::string limit = header(headers, "ratelimit");  // "api";r=0;t=55
  if (const std::size_t at = limit.find(";t="); at != std::string::npos)
    return whole_seconds(std::string_view(limit).substr(at + 3));
  return std::nullopt;
}

}  // namespace

bool may_pass(const HttpResponse& response) {
  if (!response.failure.empty()) return response.transient;
  return response.status == 408 || response.status == 429 || response.status >= 500;
}

milliseconds retry_delay(const HttpResponse& response, int attempt,
                         std::chrono::system_clock::time_point now) {
  if (const auto asked = asked_delay(response.headers, now)) return *asked;
  return seconds(1LL << std::clamp(attempt - 1, 0, 5));
}

HttpResponse with_retries(const HubSettings& settings, const std::stop_token& stop,
                          const std::function<HttpResponse(bool& progressed)>& attempt) {
  for (int tried = 1;; ++tried) {
    bool progressed = false;
    HttpResponse response = attempt(progressed);
    if (response.ok() || !may_pass(response) || stop.stop_requested()) return response;
    if (progressed) tried = 1;
    if (tried >= settings.attempts) return response;
    settings.wait(retry_delay(response, tried, std::chrono::system_clock::now()), stop);
  }
}

void throw_http_error(const HttpResponse& response, const std::string& what, const HubSettings& settings) {
  const std::string code = header(response.headers, "x-error-code");
  const std::string message = header(response.headers, "x-error-message");
  std::string got = response.failure.empty() ? "HTTP " + std::to_string(response.status) : response.failure;
  if (!message.empty()) got += ": " + message;
  ErrorParts parts{.what = "cannot get " + what, .file = response.url, .got = got};
  if (!response.failure.empty()) {
    parts.hint = "check the network, the proxy (https_proxy) and HF_ENDPOINT; the same command resumes";
    throw Error(ErrorKind::kResources, parts);
  }
  const std::string log_in =
      settings.token.empty() ? "set HF_TOKEN, or log in with `hf auth login`"
                             : "the token in use may not read it: check it, and ask for access on its page";
  if (code == "GatedRepo")
    parts.hint = "it is gated: accept its terms on its page on the hub; " + log_in;
  else if (code == "RevisionNotFound")
    parts.hint = "no such revision: check what follows the @";
  else if (code == "EntryNotFound")
    parts.hint = "no such file at this revision";
  else if (response.status == 401 || response.status == 403 || code == "RepoNotFound")
    parts.hint = "check the name; if it is private or gated, " + log_in;
  else if (response.status == 404)
    parts.hint = "check the name and HF_ENDPOINT";
  else if (may_pass(response))
    parts.hint = "the hub is busy; the same command resumes later";
  throw Error(may_pass(response) ? ErrorKind::kResources : ErrorKind::kBadInput, parts);
}

}  // namespace defectoscope
