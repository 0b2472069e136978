#include "hub/test_hub.h"

#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/sha256.h"

namespace defectoscope::testing_hub {
namespace {

using httplib::Request;
using httplib::Response;
using nlohmann::json;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string etag_of(const std::pair<std::string, bool>& file) {
  return file.second ? sha256_of(file.first) : git_sha1_of(file.first);
}

std::string kind_path(const TestRepo& repo) { return repo.dataset ? "datasets/" : ""; }

std::string cdn_name(const TestRepo& repo) {
  return repo.branch == "main" ? repo.id : repo.id + "@" + repo.branch;
}

void refuse_with(Response& response, int status, const std::string& code, const std::string& message) {
  response.status = status;
  response.set_header("X-Error-Code", code);
  response.set_header("X-Error-Message", message);
  response.set_content(json{{"error", message}}.dump(), "application/json");
}

std::unique_ptr<httplib::Server> make_server(const httplib::Server::Handler& handler, int& port,
                                             std::thread& thread) {
  auto server = std::make_unique<httplib::Server>();
  server->new_task_queue = [] { return new httplib::ThreadPool(12); };
  server->set_tcp_nodelay(true);
  server->set_keep_alive_timeout(1);
  server->Get(".*", handler);
  port = server->bind_to_any_port("127.0.0.1");
  thread = std::thread([raw = server.get()] { raw->listen_after_bind(); });
  while (!server->is_running()) std::this_thread::yield();
  return server;
}

}  // namespace

std::string sha256_of(const std::string& content) {
  Sha256 hash;
  hash.update(content);
  return hash.hex_digest();
}

std::string git_sha1_of(const std::string& content) {
  MessageDigest hash(MessageDigest::Algorithm::kSha1);
  hash.update("blob " + std::to_string(content.size()) + '\0' + content);
  return hash.hex_digest();
}

TestHub::TestHub() {
  hub_ = make_server([this](const Request& request, Response& response) { answer_hub(request, response); },
                     hub_port_, hub_thread_);
  cdn_ = make_server([this](const Request& request, Response& response) { answer_cdn(request, response); },
                     cdn_port_, cdn_thread_);
}

TestHub::~TestHub() {
  no_more_faults();
  hub_->stop();
  cdn_->stop();
  hub_thread_.join();
  cdn_thread_.join();
}

std::string TestHub::endpoint() const { return "http://127.0.0.1:" + std::to_string(hub_port_); }

void TestHub::add(TestRepo repo) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(repos_, [&](const TestRepo& old) { return old.id == repo.id && old.branch == repo.branch; });
  repos_.push_back(std::move(repo));
}

void TestHub::add_folder(const std::string& id, const std::filesystem::path& folder,
                         const std::string& branch) {
  TestRepo repo{.id = id, .branch = branch};
  if (branch != "main") repo.commit = git_sha1_of(branch);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) {
      std::string content = read_file(entry.path());
      const bool large = entry.path().extension() == ".safetensors" || content.size() >= 1024;
      repo.files[entry.path().lexically_relative(folder).generic_string()] = {std::move(content), large};
    }
  add(std::move(repo));
}

void TestHub::fail(Fault fault) {
  const std::scoped_lock lock(mutex_);
  faults_.push_back(std::move(fault));
}

void TestHub::no_more_faults() {
  const std::scoped_lock lock(mutex_);
  faults_.clear();
}

std::vector<Seen> TestHub::seen() const {
  const std::scoped_lock lock(mutex_);
  return seen_;
}

void TestHub::forget() {
  const std::scoped_lock lock(mutex_);
  seen_.clear();
}

int TestHub::count(const std::string& text) const {
  const std::scoped_lock lock(mutex_);
  return static_cast<int>(
      std::ranges::count_if(seen_, [&](const Seen& seen) { return has(seen.path, text); }));
}

void TestHub::record(const char* server, const Request& request) {
  const std::scoped_lock lock(mutex_);
  seen_.push_back({server, request.method, request.path, request.get_header_value("Range"),
                   request.get_header_value("Authorization")});
}

bool TestHub::take(Fault::Kind kind, const std::string& path, Fault& fault) {
  const std::scoped_lock lock(mutex_);
  for (Fault& candidate : faults_)
    if (candidate.kind == kind && candidate.times > 0 && has(path, candidate.path)) {
      --candidate.times;
      fault = candidate;
      return true;
    }
  return false;
}

bool TestHub::refuse(const Request& request, Response& response) {
  Fault fault;
  if (!take(Fault::kStatus, request.path, fault)) return false;
  response.status = fault.status;
  for (const auto& [name, value] : fault.headers) response.set_header(name, value);
  response.set_content("it is broken", "text/plain");
  return true;
}

void TestHub::answer_refs(const std::string& id, Response& response) {
  json branches = json::array();
  {
    const std::scoped_lock lock(mutex_);
    for (const TestRepo& repo : repos_)
      if (repo.id == id)
        branches.push_back(
            {{"name", repo.branch}, {"ref", "refs/heads/" + repo.branch}, {"targetCommit", repo.commit}});
  }
  response.set_content(
      json{{"branches", branches}, {"tags", json::array()}, {"converts", json::array()}}.dump(),
      "application/json");
}

void TestHub::answer_listing(const TestRepo& repo, bool tree, Response& response) {
  json files = json::array();
  for (const auto& [path, file] : repo.files) {
    json entry{{tree ? "path" : "rfilename", path}};
    if (tree) entry["type"] = "file";
    if (tree || !hide_blobs_) {
      entry["size"] = file.first.size();
      entry[tree ? "oid" : "blobId"] = git_sha1_of(file.first);
      const std::int64_t size =
          repo.said_size < 0 ? static_cast<std::int64_t>(file.first.size()) : repo.said_size;
      if (file.second)
        entry["lfs"] = {
            {tree ? "oid" : "sha256", sha256_of(file.first)}, {"size", size}, {"pointerSize", 130}};
    }
    files.push_back(entry);
  }
  if (tree) {
    response.set_content(files.dump(), "application/json");
    return;
  }
  json answer{{"id", repo.id}, {"sha", repo.commit}, {"private", !repo.token.empty()}, {"siblings", files}};
  answer["gated"] = repo.gated ? json("manual") : json(false);
  response.set_content(answer.dump(), "application/json");
}

void TestHub::answer_hub(const Request& request, Response& response) {
  record("hub", request);
  // A proxy is asked with the whole address; what follows the host is then the path.
  std::string path = request.path;
  if (path.starts_with("http://")) path = path.substr(std::min(path.size(), path.find('/', 7)));
  if (refuse(request, response)) return;
  std::vector<TestRepo> repos;
  {
    const std::scoped_lock lock(mutex_);
    repos = repos_;
  }
  std::string unknown;  // revision
  for (const TestRepo& repo : repos) {
    const std::string api = "/api/" + std::string(repo.dataset ? "datasets/" : "models/") + repo.id;
    const std::string resolve = "/" + kind_path(repo) + repo.id + "/resolve/";
    const bool allowed =
        repo.token.empty() || request.get_header_value("Authorization") == "Bearer " + repo.token;
    if (path.starts_with(api + "/revision/") || path.starts_with(api + "/tree/") || path == api) {
      if (!allowed && !repo.gated) return refuse_with(response, 401, "RepoNotFound", "Repository not found");
      const std::string revision = path == api ? "main" : path.substr(path.find('/', api.size() + 1) + 1);
      if (revision != repo.branch && revision != repo.commit) {
        unknown = revision;
        continue;
      }
      return answer_listing(repo, path.starts_with(api + "/tree/"), response);
    }
    if (path == api + "/refs" && allowed) return answer_refs(repo.id, response);
    if (!path.starts_with(resolve)) continue;
    if (!allowed) {
      if (repo.gated)
        return refuse_with(response, 403, "GatedRepo", "Access to model " + repo.id + " is restricted");
      return refuse_with(response, 401, "RepoNotFound", "Repository not found");
    }
    const std::size_t name_at = path.find('/', resolve.size()) + 1;
    const std::string name = path.substr(name_at);
    const std::string at = path.substr(resolve.size(), name_at - 1 - resolve.size());
    const auto meant = [&](const TestRepo& one) {
      return one.id == repo.id && (at == one.branch || at == one.commit);
    };
    if (!meant(repo) && (repo.branch != "main" || std::ranges::any_of(repos, meant))) continue;
    const auto found = repo.files.find(name);
    response.set_header("X-Repo-Commit", repo.commit);
    if (found == repo.files.end()) return refuse_with(response, 404, "EntryNotFound", "Entry not found");
    Fault fault;
    if (take(Fault::kRelativeRedirect, path, fault)) {
      response.status = 307;
      response.set_header("Location", path + "?again=1");
      return;
    }
    std::string etag = etag_of(found->second);
    if (take(Fault::kOtherEtag, path, fault)) etag = etag_of({"another content", found->second.second});
    if (!found->second.second) {
      response.set_header("ETag", "\"" + etag + "\"");
      return send_content(request, response, found->second.first);
    }
    response.status = 302;
    response.set_header("X-Linked-Etag", "\"" + etag + "\"");
    response.set_header("X-Linked-Size", std::to_string(found->second.first.size()));
    response.set_header("ETag", "\"of the redirect\"");
    response.set_header(
        "Location", "http://127.0.0.1:" + std::to_string(cdn_port_) + "/cdn/" + cdn_name(repo) + "/" + name);
    return;
  }
  if (!unknown.empty()) return refuse_with(response, 404, "RevisionNotFound", "Invalid rev id: " + unknown);
  refuse_with(response, 401, "RepoNotFound", "Repository not found");
}

void TestHub::answer_cdn(const Request& request, Response& response) {
  record("cdn", request);
  if (refuse(request, response)) return;
  std::vector<TestRepo> repos;
  {
    const std::scoped_lock lock(mutex_);
    repos = repos_;
  }
  for (const TestRepo& repo : repos)
    for (const auto& [name, file] : repo.files)
      if (request.path == "/cdn/" + cdn_name(repo) + "/" + name) {
        response.set_header("ETag", "\"the CDN's own\"");
        return send_content(request, response, file.first);
      }
  response.status = 404;
}

void TestHub::send_content(const Request& request, Response& response, std::string content) {
  Fault fault;
  const std::size_t whole = content.size();
  if (take(Fault::kWrongContent, request.path, fault)) content[whole / 2] ^= 1;
  if (take(Fault::kMoreContent, request.path, fault)) content += content;
  std::size_t from = 0;
  const std::string range = request.get_header_value("Range");
  if (range.starts_with("bytes=") && !take(Fault::kIgnoreRange, request.path, fault)) {
    from = std::stoull(range.substr(6));
    if (from >= content.size()) {
      response.status = 416;
      return;
    }
    response.status = 206;
    response.set_header("Content-Range", "bytes " + std::to_string(from) + "-" +
                                             std::to_string(content.size() - 1) + "/" +
                                             std::to_string(content.size()));
  } else {
    response.status = 200;
  }
  // The library would cut ranges out itself.
  const_cast<Request&>(request).ranges.clear();
  const bool cut = take(Fault::kCut, request.path, fault);
  const std::size_t stop =
      cut ? std::min(content.size(), from + static_cast<std::size_t>(fault.bytes)) : content.size();
  const bool slow = take(Fault::kSlow, request.path, fault);
  const auto still_slow = [this] {
    const std::scoped_lock lock(mutex_);
    return std::ranges::any_of(faults_, [](const Fault& f) { return f.kind == Fault::kSlow; });
  };
  response.set_content_provider(content.size() - from, "application/octet-stream",
                                [content, from, stop, slow, still_slow](
                                    std::size_t offset, std::size_t length, httplib::DataSink& sink) {
                                  const std::size_t at = from + offset;
                                  if (at >= stop) return false;  // cut: the connection closes
                                  const std::size_t piece =
                                      std::min({length, stop - at, std::size_t{1} << 16});
                                  if (slow && offset > 0)
                                    while (still_slow() && sink.is_writable())
                                      std::this_thread::sleep_for(std::chrono::milliseconds(5));
                                  return sink.write(content.data() + at, piece);
                                });
}

}  // namespace defectoscope::testing_hub
