#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>

#include "hub/http.h"

namespace defectoscope {

/// True where the same request may do better later: no or half an answer, 408, 429, 5xx.
bool may_pass(const HttpResponse& response);

/// How long to wait before attempt `attempt` + 1 (the first is 1): 1 s, doubled each time up to 32 s; where
/// the answer names a time (Retry-After in seconds or as a date, the hub's RateLimit "t="), that time, up to
/// 5 min.
std::chrono::milliseconds retry_delay(const HttpResponse& response, int attempt,
                                      std::chrono::system_clock::time_point now);

/// Sends by `attempt` until it succeeds, fails for good, or settings.attempts in a row got nothing more.
/// `attempt` says in `progressed` whether it brought bytes: those count as a new start.
HttpResponse with_retries(const HubSettings& settings, const std::stop_token& stop,
                          const std::function<HttpResponse(bool& progressed)>& attempt);

/// Throws the Error that a failed answer means, saying what to do: kBadInput for 401, 403, 404 and other
/// refusals, kResources where the hub could not be reached or was too busy. `what` names what was asked for.
[[noreturn]] void throw_http_error(const HttpResponse& response, const std::string& what,
                                   const HubSettings& settings);

}  // namespace defectoscope
