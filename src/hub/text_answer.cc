#include "hub/text_answer.h"

#include "base/error.h"
#include "hub/retry.h"

namespace defectoscope {

HttpResponse ask_for_text(HttpClient& client, const HubSettings& settings, const std::stop_token& stop,
                          const std::string& url, std::string& text) {
  constexpr std::size_t kLargestText = std::size_t{256} << 20;
  return with_retries(settings, stop, [&](bool&) {
    text.clear();
    return client.send({.url = url}, [&](const HttpResponse&, std::span<const std::byte> bytes) {
      text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      if (text.size() > kLargestText)
        throw_bad_input({.what = "the answer has no end", .file = url, .expected = "at most 256 MiB"});
    });
  });
}

}  // namespace defectoscope
