#include "hub/cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/files.h"
#include "checkpoint/test_files.h"
#include "hub/content_hash.h"
#include "hub/disk_space.h"
#include "hub/file_lock.h"
#include "hub/settings.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing_files::TemporaryFolder;

const std::string kSnapshot(40, 'c');

TEST(HubCache, LinksAreRelativeAndSurviveAMoveOfTheCache) {
  const TemporaryFolder folder;
  const RepoCache cache(folder / "hub", parse_repo("org/name"));
  make_folder(cache.blob("etag").parent_path());
  write_file(cache.blob("etag"), "content");
  cache.link(kSnapshot, "config.json", "etag");
  cache.link(kSnapshot, "deep/er/config.json", "etag");
  cache.link(kSnapshot, "config.json", "etag");  // again: replaced, not an error
  const fs::path snapshot = folder / ("hub/models--org--name/snapshots/" + kSnapshot);
  EXPECT_EQ(fs::read_symlink(snapshot / "config.json"), "../../blobs/etag");
  EXPECT_EQ(fs::read_symlink(snapshot / "deep/er/config.json"), "../../../../blobs/etag");
  fs::rename(folder / "hub", folder / "moved");
  const RepoCache moved(folder / "moved", parse_repo("org/name"));
  EXPECT_EQ(read_file(moved.file(kSnapshot, "deep/er/config.json")), "content");
  EXPECT_THAT(moved.files(kSnapshot), ElementsAre("config.json", "deep/er/config.json"));
}

TEST(HubCache, RefsHoldTheCommitAndNothingElse) {
  const TemporaryFolder folder;
  const RepoCache cache(folder / "hub", parse_repo("org/name"));
  EXPECT_EQ(cache.known_commit("main"), "");
  cache.remember_commit("main", kSnapshot);
  cache.remember_commit("refs/pr/1", kSnapshot);
  EXPECT_EQ(read_file(folder / "hub/models--org--name/refs/main"), kSnapshot);
  EXPECT_EQ(read_file(folder / "hub/models--org--name/refs/refs/pr/1"), kSnapshot);
  EXPECT_EQ(cache.known_commit("main"), kSnapshot);
  EXPECT_EQ(cache.known_commit(kSnapshot), kSnapshot);
  write_file(folder / "hub/models--org--name/refs/main", "../../elsewhere");
  EXPECT_EQ(cache.known_commit("main"), "");
}

TEST(HubCache, EtagsLoseTheirQuotesAndMustBeNames) {
  EXPECT_EQ(plain_etag("\"abc\""), "abc");
  EXPECT_EQ(plain_etag("W/\"abc\""), "abc");
  EXPECT_EQ(plain_etag("abc"), "abc");
  EXPECT_TRUE(is_blob_name("d41d8cd98f00b204e9800998ecf8427e-8"));
  for (const char* bad : {"", "..", "../x", "/etc/passwd", "a/b", ".hidden", "a b"})
    EXPECT_FALSE(is_blob_name(bad)) << bad;
}

TEST(HubContentHash, IsSha256OrGitsBlobHash) {
  // sha256sum and git hash-object of "hello\n".
  const std::string sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
  const std::string git = "ce013625030ba8dba906f756967f9e9ca394464a";
  const std::string text = "hello\n";
  for (const std::string& etag : {sha256, git}) {
    ContentHash hash(etag, 6);
    hash.update(std::as_bytes(std::span(text.data(), 3)));
    hash.restart();
    hash.update(std::as_bytes(std::span(text)));
    EXPECT_EQ(hash.hex_digest(), etag);
  }
  EXPECT_EQ(ContentHash("no-hash", 6).hex_digest(), "no-hash");
}

TEST(HubFileLock, SecondProcessWaitsUntilTheFirstIsDone) {
  const TemporaryFolder folder;
  const fs::path lock_file = folder / ".locks/models--org--name/etag.lock";
  const fs::path order = folder / "order";
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const FileLock lock(lock_file, std::stop_token());
    (void)!write(ready[1], "x", 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    write_file(order, "first");
    _exit(0);  // the lock goes with the process, as when one is killed
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  {
    const FileLock lock(lock_file, std::stop_token());
    EXPECT_TRUE(lock.held());
    EXPECT_EQ(read_file(order), "first");
  }
  EXPECT_TRUE(fs::exists(lock_file));  // it stays, or those who wait would lock different files
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
}

TEST(HubFileLock, StopEndsTheWait) {
  const TemporaryFolder folder;
  const FileLock first(folder / "lock", std::stop_token());
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  const FileLock second(folder / "lock", stop.get_token());
  EXPECT_FALSE(second.held());
}

TEST(HubDiskSpace, WhatDoesNotFitIsRefusedWithBothSizes) {
  const TemporaryFolder folder;
  check_disk_space(folder / "not/there/yet", 1);
  try {
    check_disk_space(folder.path(), std::int64_t{1} << 60);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kResources);
    EXPECT_THAT(error.what(), testing::HasSubstr("1.0 EiB"));
  }
  EXPECT_EQ(size_text(1023), "1023 B");
  EXPECT_EQ(size_text(13'476'900'864), "12.6 GiB");
}

/// Sets environment variables for one test.
class HubEnvironment : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kNames) {
      const char* value = std::getenv(name);
      saved_.push_back(value == nullptr ? std::nullopt : std::optional<std::string>(value));
      unsetenv(name);
    }
  }
  void TearDown() override {
    for (std::size_t i = 0; i < std::size(kNames); ++i)
      saved_[i] ? setenv(kNames[i], saved_[i]->c_str(), 1) : unsetenv(kNames[i]);
  }
  static constexpr const char* kNames[] = {"HOME",
                                           "XDG_CACHE_HOME",
                                           "HF_HOME",
                                           "HF_HUB_CACHE",
                                           "HUGGINGFACE_HUB_CACHE",
                                           "HF_TOKEN",
                                           "HF_TOKEN_PATH",
                                           "HF_ENDPOINT",
                                           "HF_HUB_OFFLINE",
                                           "TRANSFORMERS_OFFLINE",
                                           "HF_ASSETS_CACHE",
                                           "HUGGING_FACE_HUB_TOKEN",
                                           "HF_HUB_DISABLE_IMPLICIT_TOKEN"};
  std::vector<std::optional<std::string>> saved_;
};

TEST_F(HubEnvironment, CacheIsWhereHuggingfaceHubHasIt) {
  setenv("HOME", "/home/user", 1);
  EXPECT_EQ(HubSettings::from_environment().cache, "/home/user/.cache/huggingface/hub");
  setenv("XDG_CACHE_HOME", "/xdg", 1);
  EXPECT_EQ(HubSettings::from_environment().cache, "/xdg/huggingface/hub");
  setenv("HF_HOME", "~/hf", 1);
  EXPECT_EQ(HubSettings::from_environment().cache, "/home/user/hf/hub");
  EXPECT_EQ(HubSettings::from_environment().assets, "/home/user/hf/assets");
  setenv("HF_HUB_CACHE", "/models", 1);
  EXPECT_EQ(HubSettings::from_environment().cache, "/models");
}

TEST_F(HubEnvironment, TokenComesFromTheVariableBeforeTheFile) {
  const TemporaryFolder folder;
  setenv("HF_HOME", folder.path().c_str(), 1);
  EXPECT_EQ(HubSettings::from_environment().token, "");
  write_file(folder / "token", "hf_file\n");
  EXPECT_EQ(HubSettings::from_environment().token, "hf_file");
  setenv("HF_TOKEN", " hf_variable\n", 1);
  EXPECT_EQ(HubSettings::from_environment().token, "hf_variable");
  setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
  EXPECT_EQ(HubSettings::from_environment().token, "");
}

TEST_F(HubEnvironment, EndpointAndOfflineAreHonoured) {
  EXPECT_EQ(HubSettings::from_environment().endpoint, "https://huggingface.co");
  EXPECT_FALSE(HubSettings::from_environment().offline);
  setenv("HF_ENDPOINT", "https://mirror.example/", 1);
  setenv("HF_HUB_OFFLINE", "true", 1);
  EXPECT_EQ(HubSettings::from_environment().endpoint, "https://mirror.example");
  EXPECT_TRUE(HubSettings::from_environment().offline);
  setenv("HF_ENDPOINT", "mirror.example", 1);
  EXPECT_THROW(HubSettings::from_environment(), Error);
}

}  // namespace
}  // namespace defectoscope
