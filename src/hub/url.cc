#include "hub/url.h"

#include <algorithm>
#include <cctype>

namespace defectoscope {
namespace {

std::string kind_path(const Repo& repo) { return repo.kind == RepoKind::kDataset ? "datasets/" : ""; }

std::string api_url(const std::string& endpoint, const Repo& repo) {
  return endpoint + "/api/" + (repo.kind == RepoKind::kDataset ? "datasets/" : "models/") + repo.id;
}

}  // namespace

std::string percent_encoded(std::string_view text, bool keep_slash) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        byte < 0x80 && (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~');
    if (plain || (keep_slash && c == '/')) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

std::string listing_url(const std::string& endpoint, const Repo& repo) {
  return api_url(endpoint, repo) + "/revision/" + percent_encoded(repo.revision, false) + "?blobs=true";
}

std::string refs_url(const std::string& endpoint, const Repo& repo) {
  return api_url(endpoint, repo) + "/refs";
}

std::string file_url(const std::string& endpoint, const Repo& repo, const std::string& commit,
                     const std::string& path) {
  return endpoint + "/" + kind_path(repo) + repo.id + "/resolve/" + percent_encoded(commit, false) + "/" +
         percent_encoded(path, true);
}

std::string origin(std::string_view url) {
  const std::size_t scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return {};
  std::string scheme(url.substr(0, scheme_end));
  std::string_view rest = url.substr(scheme_end + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) rest.remove_prefix(at + 1);
  std::string host(rest);
  std::ranges::transform(scheme, scheme.begin(), [](unsigned char c) { return std::tolower(c); });
  std::ranges::transform(host, host.begin(), [](unsigned char c) { return std::tolower(c); });
  const std::size_t bracket = host.rfind(']');
  const std::size_t colon = host.find(':', bracket == std::string::npos ? 0 : bracket);
  if (colon == std::string::npos) host += scheme == "https" ? ":443" : ":80";
  return scheme + "://" + host;
}

}  // namespace defectoscope
