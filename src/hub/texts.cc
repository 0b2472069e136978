#include "hub/texts.h"

#include <algorithm>
#include <atomic>

#include "base/error.h"
#include "base/files.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "checkpoint/zip_archive.h"
#include "hub/cache.h"
#include "hub/disk_space.h"
#include "hub/fetch.h"
#include "hub/file_lock.h"
#include "hub/snapshot.h"
#include "hub/workers.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

void check_sha256(std::string_view bytes, const std::string& expected, const std::string& file,
                  const std::string& what) {
  Sha256 hash;
  hash.update(bytes);
  if (const std::string got = hash.hex_digest(); got != expected)
    throw_bad_input({.what = what + " is not the one that was published",
                     .file = file,
                     .expected = "sha256 " + expected,
                     .got = got,
                     .hint = "check HF_ENDPOINT and the proxy"});
}

/// The archive by an address outside the hub; kept beside the text.
fs::path fetch_archive(const TextSource& source, const HubSettings& settings, const fs::path& folder) {
  const fs::path target = folder / source.archive;
  std::error_code error;
  if (fs::is_regular_file(target, error)) return target;
  if (settings.offline)
    throw_bad_input({.what = "not in the cache: " + source.name,
                     .file = target.string(),
                     .hint = "unset HF_HUB_OFFLINE, or download it first"});
  make_cache_folder(folder);
  check_disk_space(folder, source.archive_size);
  std::atomic<std::int64_t> received{0};
  std::int64_t shown = 0;
  Progress progress(source.name, source.archive_size);
  run_workers(
      1,
      [&](const std::stop_token& stop) {
        HttpClient client(settings, stop);
        const FileLock lock(target.string() + ".lock", stop);
        if (!lock.held()) throw Error(ErrorKind::kInterrupted, "stopped");
        if (std::error_code other; fs::is_regular_file(target, other)) return;
        fetch_file(client, settings, stop,
                   {.url = source.url,
                    .name = source.archive,
                    .etag = source.archive_sha256,
                    .size = source.archive_size},
                   target.string() + ".incomplete", target, received);
      },
      [&] {
        const std::int64_t now = received;
        progress.advance(now - shown);
        shown = now;
      });
  return target;
}

fs::path archive_of(const TextSource& source, const HubSettings& settings, const fs::path& folder) {
  if (source.repository.empty()) return fetch_archive(source, settings, folder);
  return download_snapshot(plan_snapshot(parse_repo(source.repository), {source.archive}, settings),
                           settings) /
         source.archive;
}

}  // namespace

std::vector<TextSource> known_texts(const HubSettings& settings) {
  return {{.name = "wikitext-2-raw",
           .repository = "datasets/ggml-org/ci@927b3642933080f1b0e811e2f916e14c292992f9",
           .archive = "wikitext-2-raw-v1.zip",
           .archive_sha256 = "ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11",
           .archive_size = 4'721'645,
           .member = "wikitext-2-raw/wiki.test.raw",
           .member_sha256 = "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08"},
          {.name = "wikitext-2-v1",
           .url = settings.wikitext_v1_url,
           .archive = "wikitext-2-v1.zip",
           .archive_sha256 = "92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c",
           .archive_size = 4'475'746,
           .member = "wikitext-2/wiki.test.tokens",
           .member_sha256 = "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0"}};
}

const TextSource* find_text(const std::vector<TextSource>& texts, std::string_view name) {
  if (name == "wikitext-2") name = "wikitext-2-raw";
  const auto found = std::ranges::find(texts, name, &TextSource::name);
  return found == texts.end() ? nullptr : &*found;
}

fs::path fetch_text(const TextSource& source, const HubSettings& settings) {
  const fs::path folder = settings.assets / "defectoscope" / source.name;
  const fs::path text = folder / fs::path(source.member).filename();
  std::error_code error;
  if (fs::is_regular_file(text, error)) return text;
  const fs::path archive = archive_of(source, settings, folder);
  const MappedFile file(archive);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  check_sha256(bytes, source.archive_sha256, archive.string(), "the archive");
  const std::string content = ZipArchive(file.bytes(), archive.string()).unpacked(source.member);
  check_sha256(content, source.member_sha256, archive.string() + "/" + source.member, "the text");
  make_cache_folder(folder);
  write_file(text, content);
  return text;
}

}  // namespace defectoscope
