#include "hub/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "base/files.h"
#include "hub/retry.h"
#include "hub/test_settings.h"

namespace defectoscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_files::TemporaryFolder;
using testing_hub::Fault;

class HubHttp : public testing::Test {
 protected:
  void SetUp() override {
    hub_.add({.id = "org/name",
              .files = {{"config.json", {"{}", false}}, {"model.safetensors", {content_, true}}}});
    settings_ = testing_hub::test_settings(hub_.endpoint(), folder_.path(), waits_);
  }
  std::string url(const std::string& file) const {
    return hub_.endpoint() + "/org/name/resolve/" + std::string(40, 'a') + "/" + file;
  }
  HttpResponse get(const std::string& file, std::string* body = nullptr) {
    HttpClient client(settings_, {});
    return client.send({.url = url(file)}, [&](const HttpResponse&, std::span<const std::byte> bytes) {
      if (body != nullptr) body->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    });
  }
  std::vector<testing_hub::Seen> seen_by(const std::string& server) const {
    std::vector<testing_hub::Seen> found;
    for (const auto& seen : hub_.seen())
      if (seen.server == server) found.push_back(seen);
    return found;
  }

  const std::string content_ = testing_hub::content_of(300'000, 1);
  TemporaryFolder folder_;
  std::shared_ptr<testing_hub::Waits> waits_ = std::make_shared<testing_hub::Waits>();
  testing_hub::TestHub hub_;
  HubSettings settings_;
};

TEST_F(HubHttp, TokenGoesToTheHubAndNotToWhereItRedirects) {
  settings_.token = "hf_secret";
  hub_.fail({.kind = Fault::kRelativeRedirect, .path = "model.safetensors"});
  std::string body;
  const HttpResponse response = get("model.safetensors", &body);
  EXPECT_TRUE(response.ok()) << response.failure << response.status;
  EXPECT_EQ(body, content_);
  ASSERT_EQ(seen_by("hub").size(), 2U);  // the relative redirect, and the file's own
  for (const auto& seen : seen_by("hub")) EXPECT_EQ(seen.authorization, "Bearer hf_secret");
  ASSERT_EQ(seen_by("cdn").size(), 1U);
  EXPECT_EQ(seen_by("cdn")[0].authorization, "");
}

TEST_F(HubHttp, TokenGoesToNoOtherFirstAddressEither) {
  settings_.token = "hf_secret";
  settings_.endpoint = "http://127.0.0.1:9";
  EXPECT_TRUE(get("config.json").ok());
  EXPECT_EQ(seen_by("hub")[0].authorization, "");
}

TEST_F(HubHttp, HeadersOfTheHubAreKeptWhoeverSendsTheBytes) {
  const HttpResponse response = get("model.safetensors");
  EXPECT_EQ(header(response.hub_headers, "x-linked-etag"), "\"" + testing_hub::sha256_of(content_) + "\"");
  EXPECT_EQ(header(response.headers, "x-linked-etag"), "");
  EXPECT_THAT(response.url, HasSubstr("/cdn/"));
}

TEST_F(HubHttp, HeadStopsAtTheAnswerThatTellsOfTheFile) {
  HttpClient client(settings_, {});
  const HttpResponse response = client.send({.url = url("model.safetensors"), .method = HttpMethod::kHead});
  EXPECT_EQ(response.status, 302);
  EXPECT_EQ(header(response.headers, "x-linked-size"), "300000");
  EXPECT_EQ(header(response.headers, "x-repo-commit"), std::string(40, 'a'));
  EXPECT_EQ(seen_by("cdn").size(), 0U);
  const HttpResponse small = client.send({.url = url("config.json"), .method = HttpMethod::kHead});
  EXPECT_EQ(small.status, 200);
  EXPECT_EQ(header(small.headers, "content-length"), "2");
}

TEST_F(HubHttp, EndlessRedirectsEnd) {
  hub_.fail({.kind = Fault::kRelativeRedirect, .path = "config.json", .times = 1000});
  const HttpResponse response = get("config.json");
  EXPECT_THAT(response.failure, HasSubstr("redirects"));
  EXPECT_FALSE(may_pass(response));
}

TEST_F(HubHttp, RedirectsLeadToNoOtherProtocol) {
  write_file(folder_ / "secret", "secret");
  hub_.fail({.kind = Fault::kStatus,
             .path = "config.json",
             .status = 302,
             .headers = {{"Location", "file://" + (folder_ / "secret").string()}}});
  std::string body;
  EXPECT_FALSE(get("config.json", &body).ok());
  EXPECT_EQ(body, "");
}

TEST_F(HubHttp, CutBodiesAndUnreachableHostsMayPass) {
  hub_.fail({.kind = Fault::kCut, .path = "model.safetensors", .bytes = 1000});
  std::string body;
  const HttpResponse cut = get("model.safetensors", &body);
  EXPECT_FALSE(cut.ok());
  EXPECT_TRUE(may_pass(cut)) << cut.failure;
  EXPECT_EQ(body, content_.substr(0, 1000));
  HttpClient client(settings_, {});
  const HttpResponse nobody = client.send({.url = "http://127.0.0.1:9/"});
  EXPECT_TRUE(may_pass(nobody));
  EXPECT_EQ(nobody.status, 0);
}

TEST_F(HubHttp, ProxyIsAskedForTheHub) {
  // The test's hub serves as the proxy; the hub's name is known to nobody, so only by the proxy can it
  // answer.
  setenv("http_proxy", hub_.endpoint().c_str(), 1);
  HttpClient client(settings_, {});
  const HttpResponse response =
      client.send({.url = "http://hub.invalid/org/name/resolve/" + std::string(40, 'a') + "/config.json"});
  unsetenv("http_proxy");
  EXPECT_TRUE(response.ok()) << response.failure;
  EXPECT_THAT(hub_.seen()[0].path, HasSubstr("hub.invalid"));
}

TEST(HubRetry, WaitsDoubleUpToAHalfMinuteOrAsTheServerAsks) {
  const auto now = std::chrono::system_clock::from_time_t(1'000'000'000);  // 2001-09-09 01:46:40 UTC
  const auto seconds = [&](int attempt, const HttpHeaders& headers) {
    return retry_delay({.status = 429, .headers = headers}, attempt, now).count() / 1000;
  };
  EXPECT_EQ(seconds(1, {}), 1);
  EXPECT_EQ(seconds(2, {}), 2);
  EXPECT_EQ(seconds(5, {}), 16);
  EXPECT_EQ(seconds(60, {}), 32);
  EXPECT_EQ(seconds(1, {{"retry-after", "7"}}), 7);
  EXPECT_EQ(seconds(1, {{"retry-after", "999999999"}}), 300);
  EXPECT_EQ(seconds(1, {{"retry-after", "Sun, 09 Sep 2001 01:47:10 GMT"}}), 30);
  EXPECT_EQ(seconds(1, {{"retry-after", "Sun, 09 Sep 2001 01:46:10 GMT"}}), 0);
  EXPECT_EQ(seconds(3, {{"retry-after", "soon"}}), 4);
  EXPECT_EQ(seconds(1, {{"ratelimit", "\"api\";r=0;t=55"}}), 55);
}

TEST_F(HubHttp, BusyHubIsAskedAgainAndOnlyThen) {
  hub_.fail(
      {.kind = Fault::kStatus, .path = "config.json", .status = 429, .headers = {{"Retry-After", "3"}}});
  hub_.fail({.kind = Fault::kStatus, .path = "config.json", .times = 2, .status = 503});
  HttpClient client(settings_, {});
  const auto ask = [&] {
    return with_retries(settings_, {}, [&](bool&) { return client.send({.url = url("config.json")}); });
  };
  EXPECT_TRUE(ask().ok());
  EXPECT_THAT(waits_->seconds, ElementsAre(3, 2, 4));
  waits_->seconds.clear();
  hub_.fail({.kind = Fault::kStatus, .path = "config.json", .times = 100, .status = 500});
  EXPECT_EQ(ask().status, 500);
  EXPECT_EQ(waits_->seconds.size(), static_cast<std::size_t>(settings_.attempts - 1));
  hub_.no_more_faults();
  waits_->seconds.clear();
  hub_.fail({.kind = Fault::kStatus, .path = "config.json", .status = 403});
  EXPECT_EQ(ask().status, 403);
  EXPECT_TRUE(waits_->seconds.empty());
}

}  // namespace
}  // namespace defectoscope
