#pragma once

#include <stop_token>
#include <string>

#include "hub/http.h"

namespace defectoscope {

/// The body of an answer that is some kilobytes of text, with retries. A failure is a value: the caller may
/// have another way. Throws Error(kBadInput) beyond 256 MiB.
HttpResponse ask_for_text(HttpClient& client, const HubSettings& settings, const std::stop_token& stop,
                          const std::string& url, std::string& text);

}  // namespace defectoscope
