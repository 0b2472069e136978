#include "hub/fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "base/error.h"
#include "base/files.h"
#include "hub/test_settings.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;
using testing_files::TemporaryFolder;
using testing_hub::Fault;

class HubFetch : public testing::Test {
 protected:
  void SetUp() override {
    hub_.add(
        {.id = "org/name", .files = {{"small.json", {"{\"a\":1}", false}}, {"model.bin", {content_, true}}}});
    settings_ = testing_hub::test_settings(hub_.endpoint(), folder_.path(), waits_);
    source_ = {.url = hub_.endpoint() + "/org/name/resolve/" + std::string(40, 'a') + "/model.bin",
               .name = "org/name/model.bin",
               .etag = testing_hub::sha256_of(content_),
               .size = static_cast<std::int64_t>(content_.size())};
  }
  void fetch() {
    received_ = 0;
    HttpClient client(settings_, {});
    fetch_file(client, settings_, stop_.get_token(), source_, partial(), target(), received_);
  }
  /// The message of the Error of this kind that fetch() must throw; nothing may be at the target then.
  std::string failure(ErrorKind kind) {
    try {
      fetch();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_FALSE(fs::exists(target()));
      return error.what();
    }
    ADD_FAILURE() << "fetched";
    return {};
  }
  void expect_whole() {
    EXPECT_EQ(read_file(target()), content_);
    EXPECT_FALSE(fs::exists(partial()));
    EXPECT_EQ(received_, source_.size);
  }
  fs::path partial() const { return folder_ / "blobs/x.incomplete"; }
  fs::path target() const { return folder_ / "blobs/x"; }
  std::vector<std::string> ranges() const {
    std::vector<std::string> found;
    for (const auto& seen : hub_.seen())
      if (seen.server == "cdn") found.push_back(seen.range);
    return found;
  }

  const std::string content_ = testing_hub::content_of(500'000, 7);
  TemporaryFolder folder_;
  std::shared_ptr<testing_hub::Waits> waits_ = std::make_shared<testing_hub::Waits>();
  testing_hub::TestHub hub_;
  HubSettings settings_;
  FetchSource source_;
  std::stop_source stop_;
  std::atomic<std::int64_t> received_{0};
};

TEST_F(HubFetch, LargeAndSmallFilesArriveWhole) {
  fetch();
  expect_whole();
  fs::remove(target());
  const std::string small = "{\"a\":1}";
  source_ = {.url = hub_.endpoint() + "/org/name/resolve/" + std::string(40, 'a') + "/small.json",
             .name = "small.json",
             .etag = testing_hub::git_sha1_of(small),
             .size = static_cast<std::int64_t>(small.size())};
  fetch();
  EXPECT_EQ(read_file(target()), small);
}

TEST_F(HubFetch, CutBodiesAreGoneOnFromWhereTheyEnded) {
  hub_.fail({.kind = Fault::kCut, .path = "model.bin", .times = 3, .bytes = 100'000});
  fetch();
  expect_whole();
  EXPECT_THAT(ranges(), testing::ElementsAre("", "bytes=100000-", "bytes=200000-", "bytes=300000-"));
}

TEST_F(HubFetch, PartOfAnEarlierTimeIsGoneOnFrom) {
  make_folder(partial().parent_path());
  write_file(partial(), content_.substr(0, 123'456));
  fetch();
  expect_whole();
  EXPECT_THAT(ranges(), testing::ElementsAre("bytes=123456-"));
}

TEST_F(HubFetch, WholePartOfAnEarlierTimeNeedsNoRequest) {
  make_folder(partial().parent_path());
  write_file(partial(), content_);
  fetch();
  expect_whole();
  EXPECT_TRUE(ranges().empty());
}

TEST_F(HubFetch, ServerWithoutRangesIsReadFromTheStart) {
  make_folder(partial().parent_path());
  write_file(partial(), content_.substr(0, 123'456));
  hub_.fail({.kind = Fault::kIgnoreRange, .path = "model.bin"});
  fetch();
  expect_whole();
}

TEST_F(HubFetch, SpoiledPartOfAnEarlierTimeIsFetchedAnew) {
  make_folder(partial().parent_path());
  write_file(partial(), std::string(123'456, 'x'));
  fetch();
  expect_whole();
  EXPECT_THAT(ranges(), testing::ElementsAre("bytes=123456-", ""));
  fs::remove(target());
  write_file(partial(), content_ + "more than there is");
  fetch();
  expect_whole();
}

TEST_F(HubFetch, WrongContentIsRefusedAndNotKept) {
  hub_.fail({.kind = Fault::kWrongContent, .path = "model.bin"});
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr(source_.etag));
  EXPECT_FALSE(fs::exists(partial()));
  fetch();  // the fault is over
  expect_whole();
}

TEST_F(HubFetch, WrongContentIsRefusedByGitsHashToo) {
  source_ = {.url = hub_.endpoint() + "/org/name/resolve/" + std::string(40, 'a') + "/small.json",
             .name = "small.json",
             .etag = testing_hub::git_sha1_of("{\"a\":1}"),
             .size = 7};
  hub_.fail({.kind = Fault::kWrongContent, .path = "small.json"});
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr(source_.etag));
}

TEST_F(HubFetch, MoreBytesThanSaidAreRefused) {
  hub_.fail({.kind = Fault::kMoreContent, .path = "model.bin"});
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr("500000 bytes"));
  EXPECT_FALSE(fs::exists(partial()));
}

TEST_F(HubFetch, FewerBytesThanSaidAreAskedForUntilPatienceEnds) {
  source_.size += 10;
  EXPECT_THAT(failure(ErrorKind::kResources), HasSubstr("range"));
}

TEST_F(HubFetch, ChangedEtagIsRefused) {
  hub_.fail({.kind = Fault::kOtherEtag, .path = "model.bin"});
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr("changed"));
}

TEST_F(HubFetch, ServerThatNeverGetsFurtherIsGivenUp) {
  hub_.fail({.kind = Fault::kCut, .path = "model.bin", .bytes = 1000});
  hub_.fail({.kind = Fault::kStatus, .path = "/cdn/", .times = 1000, .status = 503});
  // The first answer is the cut one only if the CDN answers at all; it does not.
  EXPECT_THAT(failure(ErrorKind::kResources), HasSubstr("503"));
  EXPECT_EQ(waits_->seconds.size(), static_cast<std::size_t>(settings_.attempts - 1));
}

TEST_F(HubFetch, UnreachableHubIsAMatterOfResources) {
  source_.url = "http://127.0.0.1:9/model.bin";
  EXPECT_THAT(failure(ErrorKind::kResources), HasSubstr("HF_ENDPOINT"));
}

TEST_F(HubFetch, RefusalsSayWhatToDo) {
  hub_.add({.id = "org/name", .files = {{"model.bin", {content_, true}}}, .token = "hf_right"});
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr("HF_TOKEN"));
  hub_.add(
      {.id = "org/name", .files = {{"model.bin", {content_, true}}}, .token = "hf_right", .gated = true});
  EXPECT_THAT(failure(ErrorKind::kBadInput), HasSubstr("accept its terms"));
  settings_.token = "hf_wrong";
  const std::string message = failure(ErrorKind::kBadInput);
  EXPECT_THAT(message, HasSubstr("the token in use"));
  EXPECT_THAT(message, Not(HasSubstr("hf_wrong")));
  settings_.token = "hf_right";
  fetch();
  expect_whole();
}

TEST_F(HubFetch, StopKeepsThePartAndTheNextTimeGoesOn) {
  hub_.fail({.kind = Fault::kSlow, .path = "model.bin"});
  std::jthread stopper([&] {
    while (received_ < 65536) std::this_thread::yield();
    stop_.request_stop();
  });
  settings_.connect_seconds = 2;
  try {
    HttpClient client(settings_, stop_.get_token());
    fetch_file(client, settings_, stop_.get_token(), source_, partial(), target(), received_);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
  }
  stopper.join();
  EXPECT_GE(fs::file_size(partial()), 65536U);
  hub_.no_more_faults();
  stop_ = std::stop_source();
  fetch();
  expect_whole();
  EXPECT_THAT(ranges().back(), HasSubstr("bytes="));
}

TEST_F(HubFetch, FullDiskIsAMatterOfResourcesAndKeepsThePart) {
  // A limit on the size of files stands for the full disk.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{100'000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  const std::string message = failure(ErrorKind::kResources);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, HasSubstr("cannot write"));
  EXPECT_THAT(message, HasSubstr("HF_HUB_CACHE"));
  EXPECT_EQ(fs::file_size(partial()), 100'000U);
  fetch();
  expect_whole();
}

TEST_F(HubFetch, PlaceThatCannotBeWrittenIsAMatterOfResources) {
  write_file(folder_ / "blobs", "a file where the folder should be");
  EXPECT_THAT(failure(ErrorKind::kResources), HasSubstr("blobs"));
}

}  // namespace
}  // namespace defectoscope
