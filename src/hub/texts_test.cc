#include "hub/texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/test_zip.h"
#include "hub/test_settings.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing_files::TemporaryFolder;

/// Not the text itself, which is nobody's to copy: the road it takes.
class HubTexts : public testing::Test {
 protected:
  void SetUp() override {
    const std::string zip =
        testing_zip::make_zip({{"wiki/other.raw", "other"}, {"wiki/wiki.test.raw", text_}}).bytes;
    hub_.add({.id = "org/ci", .dataset = true, .files = {{"wiki.zip", {zip, true}}}});
    settings_ = testing_hub::test_settings(hub_.endpoint(), folder_.path(), waits_);
    source_ = {.name = "wiki",
               .repository = "datasets/org/ci@" + std::string(40, 'a'),
               .archive = "wiki.zip",
               .archive_sha256 = testing_hub::sha256_of(zip),
               .archive_size = static_cast<std::int64_t>(zip.size()),
               .member = "wiki/wiki.test.raw",
               .member_sha256 = testing_hub::sha256_of(text_)};
  }
  std::string refused() {
    const std::string message = testing_files::bad_input_message([&] { fetch_text(source_, settings_); });
    EXPECT_FALSE(fs::exists(settings_.assets / "defectoscope/wiki/wiki.test.raw"));
    return message;
  }

  const std::string text_ = " \n = A title = \n \n Some words . \n";
  TemporaryFolder folder_;
  std::shared_ptr<testing_hub::Waits> waits_ = std::make_shared<testing_hub::Waits>();
  testing_hub::TestHub hub_;
  HubSettings settings_;
  TextSource source_;
};

TEST_F(HubTexts, TextOfARepositoryIsUnpackedOnceAndThenThere) {
  const fs::path file = fetch_text(source_, settings_);
  EXPECT_EQ(file, settings_.assets / "defectoscope/wiki/wiki.test.raw");
  EXPECT_EQ(read_file(file), text_);
  hub_.forget();
  settings_.offline = true;
  EXPECT_EQ(fetch_text(source_, settings_), file);
  EXPECT_TRUE(hub_.seen().empty());
}

TEST_F(HubTexts, TextOfAnotherPlaceComesByItsAddress) {
  source_.repository.clear();
  source_.url = hub_.endpoint() + "/datasets/org/ci/resolve/" + std::string(40, 'a') + "/wiki.zip";
  settings_.offline = true;
  EXPECT_THAT(refused(), HasSubstr("not in the cache"));
  settings_.offline = false;
  hub_.fail({.kind = testing_hub::Fault::kCut, .path = "wiki.zip", .bytes = 50});
  EXPECT_EQ(read_file(fetch_text(source_, settings_)), text_);
}

TEST_F(HubTexts, AnotherArchiveOrTextThanThePublishedIsRefused) {
  TextSource good = source_;
  source_.archive_sha256 = std::string(64, '0');
  EXPECT_THAT(refused(), HasSubstr("the archive"));
  source_ = good;
  source_.member_sha256 = std::string(64, '0');
  EXPECT_THAT(refused(), HasSubstr("the text"));
  source_ = good;
  source_.member = "wiki/wiki.valid.raw";
  EXPECT_THAT(refused(), HasSubstr("wiki.valid.raw"));
}

TEST(HubKnownTexts, HavePublishedHashesAndNames) {
  const auto texts = known_texts({});
  EXPECT_EQ(find_text(texts, "wikitext-2"), find_text(texts, "wikitext-2-raw"));
  EXPECT_NE(find_text(texts, "wikitext-2-v1"), nullptr);
  EXPECT_EQ(find_text(texts, "wikitext-3"), nullptr);
  for (const TextSource& source : texts) {
    EXPECT_EQ(source.archive_sha256.size(), 64U);
    EXPECT_TRUE(source.repository.empty() || is_commit(parse_repo(source.repository).revision));
  }
}

TEST(HubKnownTexts, HashesAreThoseOfTheTextsAtHand) {
  const fs::path folder = fs::path(DEFECTOSCOPE_SOURCE_DIR) / ".." / "shared/data/text";
  if (!fs::exists(folder)) GTEST_SKIP() << "the texts are not in ../shared/data/text";
  const auto texts = known_texts({});
  const auto hash = [&](const char* name) { return testing_hub::sha256_of(read_file(folder / name)); };
  EXPECT_EQ(find_text(texts, "wikitext-2-raw")->member_sha256, hash("wikitext-2-raw.test.txt"));
  EXPECT_EQ(find_text(texts, "wikitext-2-v1")->member_sha256, hash("wikitext-2-v1.test.txt"));
}

}  // namespace
}  // namespace defectoscope
