#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace defectoscope {

/// An incremental hash (OpenSSL's).
class MessageDigest {
 public:
  enum class Algorithm { kSha256, kSha1 };
  explicit MessageDigest(Algorithm algorithm);
  ~MessageDigest();
  MessageDigest(const MessageDigest&) = delete;
  MessageDigest& operator=(const MessageDigest&) = delete;
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  /// Lower-case hexadecimal digits (SHA-256: 64, SHA-1: 40); ends the computation.
  std::string hex_digest();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Incremental SHA-256.
class Sha256 : public MessageDigest {
 public:
  Sha256() : MessageDigest(Algorithm::kSha256) {}
};

}  // namespace defectoscope
