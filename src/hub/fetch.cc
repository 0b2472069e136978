#include "hub/fetch.h"

#include "base/error.h"
#include "hub/cache.h"
#include "hub/content_hash.h"
#include "hub/partial_file.h"
#include "hub/retry.h"

namespace defectoscope {
namespace {

/// The ETag that the hub itself gives, whoever delivers the bytes.
std::string hub_etag(const HttpResponse& response) {
  const std::string linked = header(response.hub_headers, "x-linked-etag");
  return plain_etag(linked.empty() ? header(response.hub_headers, "etag") : linked);
}

class Fetch {
 public:
  Fetch(HttpClient& client, const FetchSource& source, const std::filesystem::path& partial,
        std::atomic<std::int64_t>& received)
      : client_(client),
        source_(source),
        file_(partial),
        hash_(source.etag, source.size),
        received_(received) {
    received_ += file_.size();
    if (file_.size() > source.size) start_anew();
    longest_ = file_.size();
  }

  bool has_part() const { return file_.size() > 0; }

  void hash_part(const std::stop_token& stop) {
    hash_.restart();
    file_.read([&](std::span<const std::byte> piece) {
      if (stop.stop_requested()) throw Error(ErrorKind::kInterrupted, "stopped");
      hash_.update(piece);
    });
  }

  void start_anew() {
    received_ -= file_.size();
    file_.clear();
    hash_.restart();
  }

  HttpResponse attempt(bool& progressed) {
    HttpResponse response;
    if (file_.size() < source_.size) {
      const std::int64_t from = file_.size();
      bool begun = false;
      response = client_.send({.url = source_.url, .from = from},
                              [&](const HttpResponse& so_far, std::span<const std::byte> bytes) {
                                if (!begun) begin(so_far, from);
                                begun = true;
                                take(bytes);
                              });
      if (response.status == 416) {  // what is there is no beginning of what the server has
        start_anew();
        response.failure = "the server has no such range";
        response.transient = true;
      }
    } else {
      response.status = 200;  // cut off just at its end
    }
    progressed = file_.size() > longest_;
    longest_ = std::max(longest_, file_.size());
    if (response.ok() && file_.size() < source_.size) {
      response.failure =
          "ended after " + std::to_string(file_.size()) + " of " + std::to_string(source_.size) + " bytes";
      response.transient = true;
    }
    return response;
  }

  std::string digest() { return hash_.hex_digest(); }
  void commit(const std::filesystem::path& target) { file_.commit(target); }

 private:
  void begin(const HttpResponse& so_far, std::int64_t from) {
    const std::string etag = hub_etag(so_far);
    if (is_content_hash(etag) && is_content_hash(source_.etag) && etag != source_.etag)
      throw_bad_input({.what = "the file changed while it was fetched",
                       .file = source_.name,
                       .expected = "ETag " + source_.etag,
                       .got = etag,
                       .hint = "give the same command again"});
    const std::string range = "bytes " + std::to_string(from) + "-";
    if (from > 0 && (so_far.status != 206 || !header(so_far.headers, "content-range").starts_with(range)))
      start_anew();  // the whole came, or something else than asked for; in the latter case the hash tells
  }

  void take(std::span<const std::byte> bytes) {
    if (file_.size() + static_cast<std::int64_t>(bytes.size()) > source_.size) {
      start_anew();
      throw_bad_input({.what = "the server sends more than it said",
                       .file = source_.name,
                       .expected = std::to_string(source_.size) + " bytes",
                       .got = "more",
                       .hint = "check HF_ENDPOINT and the proxy, and give the same command again"});
    }
    file_.append(bytes);
    hash_.update(bytes);
    received_ += static_cast<std::int64_t>(bytes.size());
  }

  HttpClient& client_;
  const FetchSource& source_;
  PartialFile file_;
  ContentHash hash_;
  std::atomic<std::int64_t>& received_;
  std::int64_t longest_ = 0;
};

}  // namespace

void fetch_file(HttpClient& client, const HubSettings& settings, const std::stop_token& stop,
                const FetchSource& source, const std::filesystem::path& partial,
                const std::filesystem::path& target, std::atomic<std::int64_t>& received) {
  Fetch fetch(client, source, partial, received);
  for (bool resumed = fetch.has_part();; resumed = false) {
    if (resumed) fetch.hash_part(stop);
    const HttpResponse response =
        with_retries(settings, stop, [&](bool& progressed) { return fetch.attempt(progressed); });
    if (stop.stop_requested()) throw Error(ErrorKind::kInterrupted, "stopped");
    if (!response.ok()) throw_http_error(response, source.name, settings);
    const std::string digest = fetch.digest();
    if (digest == source.etag) break;
    fetch.start_anew();
    if (!resumed)
      throw_bad_input({.what = "what came is not the file",
                       .file = source.name,
                       .expected = "hash " + source.etag,
                       .got = digest,
                       .hint = "give the same command again; if it stays, check HF_ENDPOINT and the proxy"});
  }
  fetch.commit(target);
}

}  // namespace defectoscope
