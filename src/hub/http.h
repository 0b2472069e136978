#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "hub/settings.h"

namespace defectoscope {

/// Header lines by lower-case name; of several alike the last.
using HttpHeaders = std::map<std::string, std::string, std::less<>>;

/// The value, or an empty text.
std::string header(const HttpHeaders& headers, std::string_view name);

enum class HttpMethod { kGet, kHead };

struct HttpRequest {
  std::string url;
  HttpMethod method = HttpMethod::kGet;
  std::int64_t from = 0;  ///< first byte wanted; above 0 asks with Range
};

/// What came back. Failures of the network are values: whether to try again is the caller's to say.
struct HttpResponse {
  int status = 0;                ///< of the last hop; 0: no answer, see `failure`
  HttpHeaders headers = {};      ///< of the last hop
  HttpHeaders hub_headers = {};  ///< of the last hop that the first address's own origin answered
  std::string url = {};          ///< of the last hop
  std::string failure = {};      ///< what libcurl says where the transfer did not end well; empty: it did
  bool transient = false;        ///< that failure may pass: no connection, cut off, stalled
  std::string text = {};         ///< body of an answer that is no success, its first 4 KiB

  bool ok() const { return failure.empty() && status >= 200 && status < 300; }
};

/// Takes the body of a successful answer, piece by piece; `so_far` has status and headers. May throw.
using BodySink = std::function<void(const HttpResponse& so_far, std::span<const std::byte> bytes)>;

/// One connection to whatever it is asked for, kept open between requests (libcurl). Follows redirects
/// itself: the token goes to the endpoint's origin alone, never to where that redirects; never from https to
/// http. A HEAD request stops at a redirect to another origin, since the answer that redirects is the one
/// that tells of the file. Proxies as libcurl reads them from http_proxy, https_proxy, all_proxy, no_proxy,
/// and HTTP_PROXY.
class HttpClient {
 public:
  HttpClient(const HubSettings& settings, std::stop_token stop);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Throws what the sink throws; a stop counts as a failure that does not pass.
  HttpResponse send(const HttpRequest& request, const BodySink& sink = {});

 private:
  struct Hop;
  struct State;
  void perform(const HttpRequest& request, const BodySink& sink, HttpResponse& response);

  const HubSettings& settings_;
  std::stop_token stop_;
  std::unique_ptr<State> state_;
};

}  // namespace defectoscope
