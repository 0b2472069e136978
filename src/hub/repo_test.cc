#include "hub/repo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "hub/url.h"

namespace defectoscope {
namespace {

TEST(HubRepo, NamesAreReadWithAndWithoutSchemeAndRevision) {
  const Repo plain = parse_repo("meta-llama/Llama-2-7b-hf");
  EXPECT_EQ(plain.id, "meta-llama/Llama-2-7b-hf");
  EXPECT_EQ(plain.revision, "main");
  EXPECT_EQ(plain.kind, RepoKind::kModel);
  EXPECT_EQ(parse_repo("hf://gpt2").id, "gpt2");
  EXPECT_EQ(parse_repo("hf://org/name@refs/pr/3").revision, "refs/pr/3");
  const Repo data = parse_repo("hf://datasets/org/text@v1.0");
  EXPECT_EQ(data.kind, RepoKind::kDataset);
  EXPECT_EQ(data.text(), "datasets/org/text@v1.0");
  EXPECT_EQ(parse_repo(data.text()).id, "org/text");
}

TEST(HubRepo, FoldersAreNamedAsHuggingfaceHubNamesThem) {
  EXPECT_EQ(parse_repo("org/name").folder_name(), "models--org--name");
  EXPECT_EQ(parse_repo("gpt2").folder_name(), "models--gpt2");
  EXPECT_EQ(parse_repo("datasets/org/name").folder_name(), "datasets--org--name");
}

TEST(HubRepo, MalformedNamesAreRefusedAsUsage) {
  for (const char* name : {"",
                           "/",
                           "org/",
                           "/name",
                           "a/b/c",
                           "org/na me",
                           "org/..",
                           "../x",
                           "a--b/c",
                           "org/a..b",
                           "org/.name",
                           "org/name.",
                           "-org/name",
                           "org/name.git",
                           "org/n\xc3\xa9",
                           "hf://",
                           "org\\name",
                           "org/name@",
                           "org/name@../../x",
                           "org/name@/etc",
                           "org/name@a//b"}) {
    try {
      parse_repo(name);
      ADD_FAILURE() << "taken: " << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage) << name;
    }
  }
  EXPECT_THROW(parse_repo("org/" + std::string(97, 'a')), Error);
}

TEST(HubRepo, PathsThatLeaveTheirFolderAreNotSafe) {
  for (const char* path : {"config.json", "a/b/c.bin", "..a/b..", "...", "with space", "\xc3\xa9"})
    EXPECT_TRUE(is_safe_path(path)) << path;
  for (const char* path : {"", "..", ".", "../x", "../../x", "/etc/passwd", "a/../b", "a/./b", "a//b", "a/",
                           "a\\b", "line\nbreak"})
    EXPECT_FALSE(is_safe_path(path)) << path;
  EXPECT_FALSE(is_safe_path(std::string("nul\0l", 5)));
  EXPECT_FALSE(is_safe_path(std::string(256, 'a')));
}

TEST(HubUrl, RevisionsAndPathsAreEncoded) {
  const Repo repo = parse_repo("org/name@refs/pr/1");
  EXPECT_EQ(listing_url("https://hub", repo),
            "https://hub/api/models/org/name/revision/refs%2Fpr%2F1?blobs=true");
  EXPECT_EQ(file_url("https://hub", repo, "abc", "a b/c#?.bin"),
            "https://hub/org/name/resolve/abc/a%20b/c%23%3F.bin");
  EXPECT_EQ(file_url("https://hub", parse_repo("datasets/o/n"), "abc", "x"),
            "https://hub/datasets/o/n/resolve/abc/x");
}

TEST(HubUrl, OriginsDifferByHostPortAndScheme) {
  EXPECT_EQ(origin("https://Hub.co/a?b"), origin("https://hub.co:443"));
  EXPECT_NE(origin("https://hub.co"), origin("http://hub.co"));
  EXPECT_NE(origin("http://127.0.0.1:1000/"), origin("http://127.0.0.1:1001/"));
  EXPECT_NE(origin("https://hub.co@evil.org/"), origin("https://hub.co/"));
  EXPECT_NE(origin("https://hub.co.evil.org/"), origin("https://hub.co/"));
  EXPECT_NE(origin("http://[::1]:80/"), origin("http://[::1]:81/"));
}

}  // namespace
}  // namespace defectoscope
