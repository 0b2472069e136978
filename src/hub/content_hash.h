#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/sha256.h"

namespace defectoscope {

/// The hash that an ETag of the hub is: SHA-256 of the content for large files (64 digits), git's SHA-1 of
/// "blob <size>\0" and the content for the others (40 digits). Any other ETag names no hash: then only the
/// size can be checked. SHA-1 guards against damage, not against malice; so does git.
class ContentHash {
 public:
  ContentHash(std::string etag, std::int64_t size);

  void update(std::span<const std::byte> bytes);
  void restart();
  /// Ends the computation: the digest in hexadecimal; the ETag itself where it names no hash.
  std::string hex_digest();

 private:
  std::string etag_;
  std::int64_t size_;
  std::optional<MessageDigest> digest_;
};

/// True where an ETag is one of those two hashes.
bool is_content_hash(const std::string& etag);

}  // namespace defectoscope
