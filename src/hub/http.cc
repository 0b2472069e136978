#include "hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <exception>

#include "base/error.h"
#include "base/version.h"
#include "hub/url.h"

namespace defectoscope {
namespace {

constexpr int kMostHops = 10;
constexpr std::size_t kKeptText = 4096;
const std::string kAgent = "defectoscope/" + std::string(kVersion);

void initialise() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK) throw Error(ErrorKind::kResources, "libcurl does not start");
}

bool is_transient(CURLcode code) {
  constexpr std::array kTransient = {CURLE_COULDNT_RESOLVE_PROXY,
                                     CURLE_COULDNT_RESOLVE_HOST,
                                     CURLE_COULDNT_CONNECT,
                                     CURLE_PARTIAL_FILE,
                                     CURLE_OPERATION_TIMEDOUT,
                                     CURLE_GOT_NOTHING,
                                     CURLE_SEND_ERROR,
                                     CURLE_RECV_ERROR,
                                     CURLE_HTTP2,
                                     CURLE_HTTP2_STREAM,
                                     CURLE_SSL_CONNECT_ERROR};
  return std::ranges::find(kTransient, code) != kTransient.end();
}

std::string trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
  return std::string(text);
}

}  // namespace

std::string header(const HttpHeaders& headers, std::string_view name) {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

/// What the callbacks of one request see.
struct HttpClient::Hop {
  HttpResponse& response;
  const BodySink& sink;
  const std::stop_token& stop;
  CURL* handle;
  std::exception_ptr thrown = nullptr;

  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
    auto& hop = *static_cast<Hop*>(user);
    const std::string_view line(data, size * count);
    if (line.starts_with("HTTP/")) {
      hop.response.headers.clear();  // another answer begins: after a proxy's, or 100 Continue
    } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
      std::string name(line.substr(0, colon));
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
      hop.response.headers[name] = trimmed(line.substr(colon + 1));
    }
    return size * count;
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
    auto& hop = *static_cast<Hop*>(user);
    const std::size_t bytes = size * count;
    long status = 0;
    curl_easy_getinfo(hop.handle, CURLINFO_RESPONSE_CODE, &status);
    hop.response.status = static_cast<int>(status);
    if (status < 200 || status >= 300) {
      const std::size_t room = kKeptText - std::min(kKeptText, hop.response.text.size());
      hop.response.text.append(data, std::min(room, bytes));
      return bytes;
    }
    try {
      if (hop.sink) hop.sink(hop.response, std::as_bytes(std::span(data, bytes)));
    } catch (...) {
      hop.thrown = std::current_exception();
      return 0;
    }
    return bytes;
  }

  static int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Hop*>(user)->stop.stop_requested() ? 1 : 0;
  }
};

struct HttpClient::State {
  CURL* handle = nullptr;
  std::array<char, CURL_ERROR_SIZE> message{};
  ~State() { curl_easy_cleanup(handle); }
};

HttpClient::HttpClient(const HubSettings& settings, std::stop_token stop)
    : settings_(settings), stop_(std::move(stop)), state_(std::make_unique<State>()) {
  initialise();
  state_->handle = curl_easy_init();
  if (state_->handle == nullptr) throw Error(ErrorKind::kResources, "libcurl has no memory");
}

HttpClient::~HttpClient() = default;

void HttpClient::perform(const HttpRequest& request, const BodySink& sink, HttpResponse& response) {
  CURL* handle = state_->handle;
  curl_easy_reset(handle);  // options only; connections stay open
  Hop hop{response, sink, stop_, handle};
  state_->message[0] = '\0';
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(handle, option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_NOBODY, request.method == HttpMethod::kHead ? 1L : 0L);
  set(CURLOPT_USERAGENT, kAgent.c_str());
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(settings_.connect_seconds));
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(settings_.stalled_seconds));
  set(CURLOPT_ERRORBUFFER, state_->message.data());
  set(CURLOPT_HEADERFUNCTION, &Hop::on_header);
  set(CURLOPT_HEADERDATA, &hop);
  set(CURLOPT_WRITEFUNCTION, &Hop::on_body);
  set(CURLOPT_WRITEDATA, &hop);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Hop::on_progress);
  set(CURLOPT_XFERINFODATA, &hop);
  if (!settings_.certificates.empty()) set(CURLOPT_CAINFO, settings_.certificates.c_str());
  // libcurl reads only the lower-case name, for fear of CGI programs; this is none, and Python's clients read
  // both.
  if (const char* proxy = std::getenv("HTTP_PROXY");
      proxy != nullptr && std::getenv("http_proxy") == nullptr && request.url.starts_with("http://"))
    set(CURLOPT_PROXY, proxy);
  curl_slist* lines =
      curl_slist_append(nullptr, "Accept-Encoding: identity");  // lengths and ranges are the file's
  if (!settings_.token.empty() && origin(request.url) == origin(settings_.endpoint))
    lines = curl_slist_append(lines, ("Authorization: Bearer " + settings_.token).c_str());
  if (request.from > 0)
    lines = curl_slist_append(lines, ("Range: bytes=" + std::to_string(request.from) + "-").c_str());
  set(CURLOPT_HTTPHEADER, lines);
  const CURLcode code = curl_easy_perform(handle);
  curl_slist_free_all(lines);
  if (hop.thrown) std::rethrow_exception(hop.thrown);
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  response.status = static_cast<int>(status);
  if (code != CURLE_OK) {
    response.failure = stop_.stop_requested()       ? "stopped"
                       : state_->message[0] != '\0' ? state_->message.data()
                                                    : curl_easy_strerror(code);
    response.transient = is_transient(code) && !stop_.stop_requested();
  }
}

HttpResponse HttpClient::send(const HttpRequest& request, const BodySink& sink) {
  HttpRequest hop = request;
  HttpResponse response;
  for (int i = 0; i <= kMostHops; ++i) {
    HttpResponse next;
    next.url = hop.url;
    next.hub_headers = std::move(response.hub_headers);
    perform(hop, sink, next);
    response = std::move(next);
    if (origin(hop.url) == origin(request.url)) response.hub_headers = response.headers;
    if (!response.failure.empty() || response.status < 300 || response.status >= 400) return response;
    char* to = nullptr;
    curl_easy_getinfo(state_->handle, CURLINFO_REDIRECT_URL, &to);
    if (to == nullptr) return response;
    const std::string target = to;
    if (request.method == HttpMethod::kHead && origin(target) != origin(request.url)) return response;
    if (hop.url.starts_with("https://") && !target.starts_with("https://")) {
      response.failure = "redirected from https to " + origin(target);
      return response;
    }
    hop.url = target;
  }
  response.failure = "more than " + std::to_string(kMostHops) + " redirects";
  return response;
}

}  // namespace defectoscope
