#include "hub/revisions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "hub/snapshot.h"
#include "hub/test_settings.h"

namespace defectoscope {
namespace {

using testing::ElementsAre, testing::HasSubstr, testing::IsEmpty;

template <typename Body>
std::string message_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(HubRevisions, BranchesAndTagsAreReadFromTheHubsAnswer) {
  EXPECT_THAT(parse_revisions(R"({"branches":[{"name":"step10","targetCommit":"x"},{"name":"main"}],
                                  "tags":[{"name":"v1"},{"name":"main"}],"converts":[]})",
                              "url"),
              ElementsAre("main", "step10", "v1"));
  EXPECT_THAT(parse_revisions(R"({"branches":[]})", "url"), IsEmpty());
}

TEST(HubRevisions, AnswersThatAreNoListAreRefused) {
  for (const char* text : {"[]", "{}", R"({"branches":{}})", R"({"branches":["main"]})",
                           R"({"branches":[{"name":"../../x"}]})", R"({"branches":[{"name":7}]})"})
    EXPECT_THAT(message_of([&] { parse_revisions(text, "http://hub/refs"); }), HasSubstr("http://hub/refs"))
        << text;
  EXPECT_THAT(message_of([] { parse_revisions("{\"branches\":", "http://hub/refs"); }),
              HasSubstr("http://hub/refs"));
}

class RevisionsOfAHub : public testing::Test {
 protected:
  RevisionsOfAHub() {
    settings_ = testing_hub::test_settings(hub_.endpoint(), folder_.path(), waits_);
    char digit = 'a';
    for (const char* branch : {"main", "step1", "step20", "other"})
      hub_.add({.id = "org/run",
                .commit = std::string(40, digit++),
                .files = {{"config.json", {std::string("{\"of\":\"") + branch + "\"}", false}},
                          {"model.safetensors", {branch, true}}},
                .branch = branch});
  }
  testing_files::TemporaryFolder folder_;
  std::shared_ptr<testing_hub::Waits> waits_ = std::make_shared<testing_hub::Waits>();
  testing_hub::TestHub hub_;
  HubSettings settings_;
};

TEST_F(RevisionsOfAHub, APatternStandsForTheBranchesItMatches) {
  EXPECT_THAT(matching_revisions(parse_repo("hf://org/run@step*"), settings_),
              ElementsAre("step1", "step20"));
  EXPECT_THAT(matching_revisions(parse_repo("hf://org/run@step?"), settings_), ElementsAre("step1"));
  EXPECT_THAT(message_of([&] { matching_revisions(parse_repo("org/run@v*"), settings_); }),
              testing::AllOf(HasSubstr("v*"), HasSubstr("4 branches")));
  EXPECT_THAT(message_of([&] { matching_revisions(parse_repo("org/nothing@step*"), settings_); }),
              HasSubstr("check the name"));
  EXPECT_EQ(hub_.count("/resolve/"), 0) << "nothing is fetched to know the names";
}

TEST_F(RevisionsOfAHub, OfflineThoseOnceFetchedAreThere) {
  for (const char* revision : {"step1", "step20"}) {
    const auto folder = download_snapshot(
        plan_snapshot(parse_repo(std::string("org/run@") + revision), {}, settings_), settings_);
    EXPECT_THAT(read_file(folder / "model.safetensors"), revision) << "each branch has files of its own";
  }
  settings_.offline = true;
  EXPECT_THAT(matching_revisions(parse_repo("org/run@step*"), settings_), ElementsAre("step1", "step20"));
  EXPECT_THAT(message_of([&] { matching_revisions(parse_repo("org/run@mai*"), settings_); }),
              HasSubstr("HF_HUB_OFFLINE"));
}

}  // namespace
}  // namespace defectoscope
