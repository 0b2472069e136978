#include "hub/content_hash.h"

#include <algorithm>

namespace defectoscope {
namespace {

constexpr std::size_t kSha256Digits = 64, kSha1Digits = 40;

}  // namespace

bool is_content_hash(const std::string& etag) {
  return (etag.size() == kSha256Digits || etag.size() == kSha1Digits) &&
         std::ranges::all_of(etag, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

ContentHash::ContentHash(std::string etag, std::int64_t size) : etag_(std::move(etag)), size_(size) {
  restart();
}

void ContentHash::restart() {
  digest_.reset();
  if (!is_content_hash(etag_)) return;
  if (etag_.size() == kSha256Digits) {
    digest_.emplace(MessageDigest::Algorithm::kSha256);
  } else {
    digest_.emplace(MessageDigest::Algorithm::kSha1);
    digest_->update("blob " + std::to_string(size_) + '\0');
  }
}

void ContentHash::update(std::span<const std::byte> bytes) {
  if (digest_) digest_->update(bytes);
}

std::string ContentHash::hex_digest() { return digest_ ? digest_->hex_digest() : etag_; }

}  // namespace defectoscope
