#include "base/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "base/error.h"

namespace defectoscope {

struct MessageDigest::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

namespace {

void check(int ok) {
  if (ok != 1) throw Error(ErrorKind::kResources, "the hash is not available from libcrypto");
}

}  // namespace

MessageDigest::MessageDigest(Algorithm algorithm) : state_(std::make_unique<State>()) {
  check(EVP_DigestInit_ex(state_->context, algorithm == Algorithm::kSha256 ? EVP_sha256() : EVP_sha1(),
                          nullptr));
}

MessageDigest::~MessageDigest() = default;

void MessageDigest::update(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()));
}

void MessageDigest::update(std::string_view text) {
  update(std::as_bytes(std::span(text.data(), text.size())));
}

std::string MessageDigest::hex_digest() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  check(EVP_DigestFinal_ex(state_->context, digest.data(), &length));
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : std::span(digest).first(length)) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace defectoscope
