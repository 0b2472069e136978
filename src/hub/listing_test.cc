#include "hub/listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/test_files.h"

namespace defectoscope {
namespace {

using testing::HasSubstr;
using testing_files::bad_input_message;

const std::string kCommit(40, 'c');

std::string listing_of(const std::string& siblings) {
  return R"({"id":"o/n","sha":")" + kCommit + R"(","gated":false,"siblings":[)" + siblings + "]}";
}

std::string refused(const std::string& json) {
  return bad_input_message([&] { parse_listing(json, "http://hub/api"); });
}

TEST(HubListing, LargeFilesHaveTheirSha256AndOthersGitsHash) {
  const std::string sha1(40, '1'), sha256(64, '2');
  const RepoListing listing = parse_listing(
      listing_of(R"({"rfilename":"model.safetensors","size":134,"blobId":")" + sha1 +
                 R"(","lfs":{"sha256":")" + sha256 + R"(","size":5000000000,"pointerSize":134}},)" +
                 R"({"rfilename":"config.json","size":7,"blobId":")" + sha1 + R"("})"),
      "url");
  EXPECT_EQ(listing.commit, kCommit);
  ASSERT_EQ(listing.files.size(), 2U);
  EXPECT_EQ(listing.find("model.safetensors")->etag, sha256);
  EXPECT_EQ(listing.find("model.safetensors")->size, 5'000'000'000);
  EXPECT_EQ(listing.find("config.json")->etag, sha1);
  EXPECT_EQ(listing.find("nothing"), nullptr);
}

TEST(HubListing, WithoutSizesItSaysSo) {
  const RepoListing listing = parse_listing(listing_of(R"({"rfilename":"config.json"})"), "url");
  EXPECT_EQ(listing.files[0].size, -1);
  EXPECT_EQ(listing.files[0].etag, "");
}

TEST(HubListing, NamesThatLeaveTheSnapshotAreRefused) {
  EXPECT_THAT(refused(listing_of(R"({"rfilename":"../../x"})")), HasSubstr("../../x"));
  EXPECT_THAT(refused(listing_of(R"({"rfilename":"a/../../x"})")), HasSubstr("relative path"));
  EXPECT_THAT(refused(listing_of(R"({"rfilename":"/etc/passwd"})")), HasSubstr("/etc/passwd"));
  EXPECT_THAT(refused(listing_of(R"({"rfilename":""})")), HasSubstr("rfilename"));
}

TEST(HubListing, WhatIsNoListingIsRefused) {
  EXPECT_THAT(refused("<html>Sign in to the hotel's network</html>"), HasSubstr("http://hub/api"));
  EXPECT_THAT(refused("[]"), HasSubstr("an object"));
  EXPECT_THAT(refused(R"({"sha":"../..","siblings":[]})"), HasSubstr("commit"));
  EXPECT_THAT(refused(R"({"sha":")" + kCommit + R"("})"), HasSubstr("siblings"));
  EXPECT_THAT(refused(listing_of("7")), HasSubstr("an object"));
  EXPECT_THAT(refused(listing_of(R"({"rfilename":"a","size":-1})")), HasSubstr("size"));
  EXPECT_THAT(refused(listing_of(R"({"rfilename":"a"},{"rfilename":"a"})")), HasSubstr("twice"));
}

}  // namespace
}  // namespace defectoscope
