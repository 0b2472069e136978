#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace httplib {
class Server;
struct Request;
struct Response;
}  // namespace httplib

/// A server on 127.0.0.1 that speaks as much of the hub's protocol as its clients use, and misbehaves on
/// demand.
namespace defectoscope::testing_hub {

/// A repository at one commit, files by path; several of one id are its branches. Files marked large are
/// answered as LFS files are: by a redirect to another port, the "CDN", with X-Linked-Etag and X-Linked-Size.
struct TestRepo {
  std::string id, commit = std::string(40, 'a');
  bool dataset = false;
  std::map<std::string, std::pair<std::string, bool>> files = {};  ///< path → content, large
  std::string token = {};                                          ///< needed to read it; empty: public
  bool gated = false;
  std::int64_t said_size = -1;  ///< of large files, in the listing; below 0: the truth
  std::string branch = "main";  ///< that stands at `commit`
};

/// What goes wrong, for requests whose path contains `path`, `times` times.
struct Fault {
  enum Kind {
    kStatus,            ///< answers `status` with `headers`
    kCut,               ///< closes the connection after `bytes` of the body
    kIgnoreRange,       ///< answers 200 and the whole
    kWrongContent,      ///< one byte differs
    kMoreContent,       ///< more bytes than said before
    kOtherEtag,         ///< the ETag of another content
    kSlow,              ///< 64 KiB, then waits until `path`'s fault is taken away
    kRelativeRedirect,  ///< one more hop on the same host first
  };
  Kind kind = kStatus;
  std::string path;
  int times = 1;
  int status = 503;
  std::int64_t bytes = 0;
  std::vector<std::pair<std::string, std::string>> headers = {};
};

/// One request as it came.
struct Seen {
  std::string server;  ///< "hub" or "cdn"
  std::string method, path, range, authorization;
};

class TestHub {
 public:
  TestHub();
  ~TestHub();
  TestHub(const TestHub&) = delete;
  TestHub& operator=(const TestHub&) = delete;

  std::string endpoint() const;
  void add(TestRepo repo);
  /// All files below a folder; those of 1 KiB and more, or *.safetensors, are large.
  void add_folder(const std::string& id, const std::filesystem::path& folder,
                  const std::string& branch = "main");
  void fail(Fault fault);
  void no_more_faults();
  /// Leaves sizes and hashes out of the listing, as mirrors do.
  void hide_blobs() { hide_blobs_ = true; }
  std::vector<Seen> seen() const;
  void forget();
  /// How many requests' paths contain `text`.
  int count(const std::string& text) const;

 private:
  void answer_hub(const httplib::Request& request, httplib::Response& response);
  void answer_cdn(const httplib::Request& request, httplib::Response& response);
  void answer_refs(const std::string& id, httplib::Response& response);
  void answer_listing(const TestRepo& repo, bool tree, httplib::Response& response);
  void send_content(const httplib::Request& request, httplib::Response& response, std::string content);
  bool take(Fault::Kind kind, const std::string& path, Fault& fault);
  bool refuse(const httplib::Request& request, httplib::Response& response);
  void record(const char* server, const httplib::Request& request);

  std::unique_ptr<httplib::Server> hub_, cdn_;
  int hub_port_ = 0, cdn_port_ = 0;
  bool hide_blobs_ = false;
  mutable std::mutex mutex_;
  std::vector<TestRepo> repos_;
  std::vector<Fault> faults_;
  std::vector<Seen> seen_;
  std::thread hub_thread_, cdn_thread_;
};

std::string sha256_of(const std::string& content);
std::string git_sha1_of(const std::string& content);

}  // namespace defectoscope::testing_hub
