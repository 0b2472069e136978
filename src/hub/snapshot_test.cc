#include "hub/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/progress.h"
#include "hub/test_settings.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing_files::TemporaryFolder;
using testing_hub::Fault;

class HubSnapshot : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 4; ++i)
      repo_.files["model-0000" + std::to_string(i + 1) + "-of-00004.safetensors"] = {
          testing_hub::content_of(100'000, static_cast<unsigned>(i)), true};
    std::string map;
    for (const auto& [path, file] : repo_.files)
      map += (map.empty() ? "" : ",") + ("\"" + path + "\":\"" + path + "\"");
    repo_.files["model.safetensors.index.json"] = {"{\"weight_map\":{" + map + "}}", false};
    repo_.files["config.json"] = {"{}", false};
    repo_.files["tokenizer.json"] = {testing_hub::content_of(20'000, 9), true};
    repo_.files["README.md"] = {"# A model", false};
    hub_.add(repo_);
    settings_ = testing_hub::test_settings(hub_.endpoint(), folder_.path(), waits_);
  }
  fs::path download(const std::string& repo = "org/name", const std::vector<std::string>& include = {}) {
    return download_snapshot(plan_snapshot(parse_repo(repo), include, settings_), settings_);
  }
  std::string failure(ErrorKind kind, const std::string& repo = "org/name") {
    try {
      download(repo);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
  }
  /// All seven files but the README, with the hub's content.
  void expect_complete(const fs::path& snapshot) {
    for (const auto& [path, file] : repo_.files) {
      if (path == "README.md") continue;
      EXPECT_EQ(read_file(snapshot / path), file.first) << path;
      EXPECT_TRUE(fs::is_symlink(snapshot / path)) << path;
    }
    EXPECT_FALSE(fs::exists(snapshot / "README.md"));
    for (const auto& entry : fs::recursive_directory_iterator(settings_.cache))
      EXPECT_NE(entry.path().extension(), ".incomplete") << entry.path();
  }

  testing_hub::TestRepo repo_{.id = "org/name"};
  TemporaryFolder folder_;
  std::shared_ptr<testing_hub::Waits> waits_ = std::make_shared<testing_hub::Waits>();
  testing_hub::TestHub hub_;
  HubSettings settings_;
};

TEST_F(HubSnapshot, ModelArrivesInTheLayoutOfHuggingfaceHub) {
  const fs::path snapshot = download();
  const fs::path folder = settings_.cache / "models--org--name";
  EXPECT_EQ(snapshot, folder / "snapshots" / repo_.commit);
  expect_complete(snapshot);
  EXPECT_EQ(read_file(folder / "refs/main"), repo_.commit);
  const auto& shard = repo_.files.at("model-00001-of-00004.safetensors").first;
  EXPECT_EQ(fs::read_symlink(snapshot / "model-00001-of-00004.safetensors"),
            "../../blobs/" + testing_hub::sha256_of(shard));
  EXPECT_EQ(fs::read_symlink(snapshot / "config.json"), "../../blobs/" + testing_hub::git_sha1_of("{}"));
  EXPECT_TRUE(
      fs::exists(settings_.cache / ".locks/models--org--name" / (testing_hub::sha256_of(shard) + ".lock")));
}

TEST_F(HubSnapshot, SecondTimeCostsOneRequest) {
  download();
  hub_.forget();
  expect_complete(download());
  EXPECT_EQ(hub_.seen().size(), 1U);
}

TEST_F(HubSnapshot, ListingWithoutSizesIsMadeUpForByHeaders) {
  hub_.hide_blobs();
  expect_complete(download());
  EXPECT_EQ(hub_.count("config.json"), 2);  // HEAD, GET
}

TEST_F(HubSnapshot, NewCommitFetchesOnlyWhatChanged) {
  download();
  repo_.commit = std::string(40, 'b');
  repo_.files["config.json"].first = "{\"new\":1}";
  hub_.add(repo_);
  hub_.forget();
  const fs::path snapshot = download();
  expect_complete(snapshot);
  EXPECT_EQ(hub_.count("/resolve/" + repo_.commit + "/config.json"), 1);
  EXPECT_EQ(hub_.count(".safetensors"), 1);  // the index, to know the shards
  EXPECT_EQ(read_file(settings_.cache / "models--org--name/refs/main"), repo_.commit);
}

TEST_F(HubSnapshot, RevisionsAreResolved) {
  expect_complete(download("org/name@" + repo_.commit));
  EXPECT_FALSE(fs::exists(settings_.cache / "models--org--name/refs"));
  EXPECT_THAT(failure(ErrorKind::kBadInput, "org/name@v7"), HasSubstr("revision"));
}

TEST_F(HubSnapshot, PatternsChooseOtherFiles) {
  const fs::path snapshot = download("org/name", {"*.md"});
  EXPECT_EQ(read_file(snapshot / "README.md"), "# A model");
  EXPECT_FALSE(fs::exists(snapshot / "config.json"));
}

TEST_F(HubSnapshot, PlanKnowsWhatIsThere) {
  const SnapshotPlan before = plan_snapshot(parse_repo("org/name"), {}, settings_);
  EXPECT_EQ(before.files.size(), 7U);
  EXPECT_EQ(before.missing_bytes(), before.bytes());
  EXPECT_FALSE(fs::exists(settings_.cache));  // a plan writes nothing
  const std::string& shard = repo_.files.at("model-00001-of-00004.safetensors").first;
  const fs::path partial =
      settings_.cache / "models--org--name/blobs" / (testing_hub::sha256_of(shard) + ".incomplete");
  make_folder(partial.parent_path());
  write_file(partial, shard.substr(0, 1000));
  EXPECT_EQ(plan_snapshot(parse_repo("org/name"), {}, settings_).missing_bytes(), before.bytes() - 1000);
  download();
  EXPECT_EQ(plan_snapshot(parse_repo("org/name"), {}, settings_).missing_bytes(), 0);
}

TEST_F(HubSnapshot, OfflineUsesTheCacheAndAsksNobody) {
  settings_.offline = true;
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr("HF_HUB_OFFLINE"));
  settings_.offline = false;
  download();
  hub_.forget();
  settings_.offline = true;
  expect_complete(download());
  EXPECT_TRUE(hub_.seen().empty());
  fs::remove(settings_.cache / "models--org--name/snapshots" / repo_.commit /
             "model-00003-of-00004.safetensors");
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr("model-00003-of-00004.safetensors"));
}

TEST_F(HubSnapshot, UnreachableHubFallsBackOnTheCacheAndSaysSo) {
  const std::string reachable = settings_.endpoint;
  settings_.endpoint = "http://127.0.0.1:9";
  EXPECT_THAT(failure(ErrorKind::kResources), HasSubstr("HF_ENDPOINT"));
  settings_.endpoint = reachable;
  download();
  settings_.endpoint = "http://127.0.0.1:9";
  const SnapshotPlan plan = plan_snapshot(parse_repo("org/name"), {}, settings_);
  EXPECT_THAT(plan.note, HasSubstr("does not answer"));
  expect_complete(download_snapshot(plan, settings_));
}

TEST_F(HubSnapshot, PrivateRepositoryNeedsItsToken) {
  repo_.token = "hf_right";
  hub_.add(repo_);
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr("HF_TOKEN"));
  settings_.token = "hf_right";
  expect_complete(download());
  EXPECT_THAT(failure(ErrorKind::kBadInput, "org/nothing"), HasSubstr("check the name"));
}

TEST_F(HubSnapshot, NamesThatLeaveTheSnapshotWriteNothing) {
  repo_.files["../../../../escaped"] = {"x", false};
  hub_.add(repo_);
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr("../../../../escaped"));
  EXPECT_FALSE(fs::exists(settings_.cache));
}

TEST_F(HubSnapshot, IndexThatNamesNoShardOfTheRepositoryIsRefused) {
  repo_.files.erase("model-00002-of-00004.safetensors");
  hub_.add(repo_);
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr("model-00002-of-00004.safetensors"));
}

TEST_F(HubSnapshot, OneFailureStopsTheOthersAndTheNextTimeGoesOn) {
  hub_.fail({.kind = Fault::kWrongContent, .path = "model-00002"});
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr("model-00002"));
  EXPECT_FALSE(
      fs::exists(settings_.cache / "models--org--name/refs/main"));  // not complete: not the revision
  expect_complete(download());
}

TEST_F(HubSnapshot, ShardsComeInParallel) {
  // Every shard's body stands still after its beginning until all four have begun: one after another would
  // never end.
  hub_.fail({.kind = Fault::kSlow, .path = ".safetensors", .times = 4});
  std::jthread release([&](const std::stop_token& stop) {
    while (hub_.count("/cdn/org/name/model-0") < 4 && !stop.stop_requested()) std::this_thread::yield();
    hub_.no_more_faults();
  });
  expect_complete(download());
}

TEST_F(HubSnapshot, TwoProcessesAtOnceFetchEachFileOnce) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer allows no threads in a fork of a process that has some";
#endif
  hub_.fail({.kind = Fault::kSlow, .path = "model-00001"});
  const SnapshotPlan plan = plan_snapshot(parse_repo("org/name"), {}, settings_);
  std::vector<pid_t> children;
  for (int i = 0; i < 2; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      try {
        download_snapshot(plan, settings_);
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    children.push_back(child);
  }
  // Both are at work when the slow file is let go: one has it, the other waits.
  while (hub_.count("/cdn/org/name/model-0") < 4) std::this_thread::yield();
  hub_.no_more_faults();
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  expect_complete(plan.folder);
  for (int i = 1; i <= 4; ++i) EXPECT_EQ(hub_.count("/cdn/org/name/model-0000" + std::to_string(i)), 1) << i;
}

TEST_F(HubSnapshot, InterruptStopsAllAndTheNextTimeGoesOn) {
  hub_.fail({.kind = Fault::kSlow, .path = ".safetensors", .times = 4});
  std::jthread interrupter([&] {
    while (hub_.count("/cdn/org/name/model-0") < 4) std::this_thread::yield();
    request_interrupt();
  });
  EXPECT_THAT(failure(ErrorKind::kInterrupted), HasSubstr("resumes"));
  interrupter.join();
  clear_interrupt();
  hub_.no_more_faults();
  expect_complete(download());
}

TEST_F(HubSnapshot, DiskThatIsTooSmallIsRefusedBeforeTheFirstByte) {
  SnapshotPlan plan = plan_snapshot(parse_repo("org/name"), {}, settings_);
  for (PlannedFile& file : plan.files) file.size = std::int64_t{1} << 57;
  hub_.forget();
  try {
    download_snapshot(plan, settings_);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kResources);
    EXPECT_THAT(error.what(), HasSubstr("disk is too small"));
  }
  EXPECT_TRUE(hub_.seen().empty());
}

TEST_F(HubSnapshot, CacheThatCannotBeWrittenIsAMatterOfResources) {
  write_file(settings_.cache, "a file where the cache should be");
  EXPECT_THAT(failure(ErrorKind::kResources), HasSubstr("HF_HUB_CACHE"));
}

}  // namespace
}  // namespace defectoscope
