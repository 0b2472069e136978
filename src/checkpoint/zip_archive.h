#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace defectoscope {

/// The members of a zip file whose bytes are used where they lie: stored ones, which is how PyTorch writes
/// them. Reads the directory at the file's end (with its 64-bit form); a member's own header is looked at
/// when its data are asked for. Compressed or encrypted members are listed, but not had in place.
class ZipArchive {
 public:
  struct Member {
    std::uint64_t header = 0;  ///< where its own header begins
    std::uint64_t size = 0;    ///< bytes, as stored
    bool stored = true;        ///< neither compressed nor encrypted
    bool deflated = false;     ///< compressed by deflate, not encrypted
    std::uint64_t unpacked_size = 0;
  };

  /// `bytes` is the whole file and must outlive this; `file` names it in errors. Throws Error(kBadInput): no
  /// directory, one outside the file or cut short, a name that comes twice, a member outside the file.
  ZipArchive(std::span<const std::byte> bytes, std::string file);

  /// True where the file begins as a zip file does.
  static bool recognises(std::span<const std::byte> bytes);

  const std::map<std::string, Member, std::less<>>& members() const { return members_; }
  bool has(std::string_view name) const { return members_.contains(name); }
  /// The member's bytes in place. Throws Error(kBadInput): no such member, compressed, its own header wrong.
  std::span<const std::byte> data(std::string_view name) const;
  /// The member's content, unpacked where it is deflated (zlib), at most 1 GiB of it. Throws
  /// Error(kBadInput): as data(), packed in another way, or the packed bytes are damaged.
  std::string unpacked(std::string_view name) const;

 private:
  struct Directory {
    std::uint64_t begin, size, count;
  };
  Directory find_directory() const;
  void read_directory(const Directory& directory);
  const Member& member(std::string_view name) const;
  std::span<const std::byte> raw(const Member& member, std::string_view name) const;
  [[noreturn]] void fail(const std::string& what, std::string_view member, const std::string& expected,
                         const std::string& got) const;

  std::span<const std::byte> bytes_;
  std::string file_;
  std::uint64_t directory_begin_ = 0;
  std::map<std::string, Member, std::less<>> members_;
};

}  // namespace defectoscope
