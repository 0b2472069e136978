#include "checkpoint/zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "checkpoint/load.h"
#include "checkpoint/strict_json.h"

namespace defectoscope {
namespace {

constexpr std::uint32_t kLocalMagic = 0x04034b50;
constexpr std::uint32_t kMemberMagic = 0x02014b50;
constexpr std::uint32_t kEndMagic = 0x06054b50;
constexpr std::uint32_t kEnd64Magic = 0x06064b50;
constexpr std::uint32_t kLocator64Magic = 0x07064b50;
constexpr std::uint64_t kLocalSize = 30, kMemberSize = 46, kEndSize = 22, kEnd64Size = 56, kLocatorSize = 20;
constexpr std::uint64_t kLongestComment = 65535;
constexpr std::uint32_t kSeeExtra = 0xffffffff;  // a size or place that only the 64-bit extra field holds
constexpr std::uint16_t kExtra64 = 1;
constexpr std::uint16_t kEncrypted = 1;
constexpr std::uint16_t kDeflate = 8;
constexpr std::uint64_t kLargestUnpacked = std::uint64_t{1} << 30;

std::uint16_t u16(std::span<const std::byte> bytes, std::uint64_t at) {
  return load<std::uint16_t>(bytes, at);
}
std::uint32_t u32(std::span<const std::byte> bytes, std::uint64_t at) {
  return load<std::uint32_t>(bytes, at);
}
std::uint64_t u64(std::span<const std::byte> bytes, std::uint64_t at) {
  return load<std::uint64_t>(bytes, at);
}

bool fits(std::uint64_t begin, std::uint64_t size, std::uint64_t end) {
  return begin <= end && size <= end - begin;
}

std::string_view text(std::span<const std::byte> bytes, std::uint64_t at, std::uint64_t size) {
  return {reinterpret_cast<const char*>(bytes.data() + at), size};
}

}  // namespace

void ZipArchive::fail(const std::string& what, std::string_view member, const std::string& expected,
                      const std::string& got) const {
  throw_bad_input({.what = what,
                   .file = file_,
                   .tensor = shortened(member),
                   .expected = expected,
                   .got = got,
                   .hint = "the file is damaged or not fully downloaded"});
}

bool ZipArchive::recognises(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && (u32(bytes, 0) == kLocalMagic || u32(bytes, 0) == kEndMagic);
}

ZipArchive::ZipArchive(std::span<const std::byte> bytes, std::string file)
    : bytes_(bytes), file_(std::move(file)) {
  read_directory(find_directory());
}

ZipArchive::Directory ZipArchive::find_directory() const {
  const std::uint64_t size = bytes_.size();
  const std::uint64_t lowest = size > kEndSize + kLongestComment ? size - kEndSize - kLongestComment : 0;
  std::uint64_t end = size;
  bool found = false;
  // From the back: whatever comment follows, its length must reach just to the file's end.
  for (std::uint64_t at = size < kEndSize ? 0 : size - kEndSize + 1; at > lowest && !found; --at) {
    end = at - 1;
    found = u32(bytes_, end) == kEndMagic && u16(bytes_, end + 20) == size - end - kEndSize;
  }
  if (!found)
    fail("zip file without its directory", "", "the directory at the end of the file",
         std::to_string(size) + " bytes without one");
  Directory directory{u32(bytes_, end + 16), u32(bytes_, end + 12), u16(bytes_, end + 10)};
  if (end >= kLocatorSize && u32(bytes_, end - kLocatorSize) == kLocator64Magic) {
    const std::uint64_t end64 = u64(bytes_, end - kLocatorSize + 8);
    if (!fits(end64, kEnd64Size, end - kLocatorSize) || u32(bytes_, end64) != kEnd64Magic)
      fail("64-bit zip directory is not where the file says", "", "inside the file", std::to_string(end64));
    directory = {u64(bytes_, end64 + 48), u64(bytes_, end64 + 40), u64(bytes_, end64 + 32)};
    end = end64;
  }
  if (!fits(directory.begin, directory.size, end))
    fail("zip directory lies outside the file", "", "within " + std::to_string(end) + " bytes",
         std::to_string(directory.size) + " bytes at " + std::to_string(directory.begin));
  return directory;
}

void ZipArchive::read_directory(const Directory& directory) {
  directory_begin_ = directory.begin;
  const auto bytes = bytes_.subspan(directory.begin, directory.size);
  std::uint64_t at = 0;
  for (std::uint64_t i = 0; i < directory.count; ++i) {
    const std::string number = "member " + std::to_string(i);
    if (!fits(at, kMemberSize, bytes.size()) || u32(bytes, at) != kMemberMagic)
      fail("zip directory is cut short", number, std::to_string(directory.count) + " members",
           std::to_string(i));
    const std::uint64_t name_size = u16(bytes, at + 28), extra_size = u16(bytes, at + 30);
    const std::uint64_t whole = kMemberSize + name_size + extra_size + u16(bytes, at + 32);
    if (!fits(at, whole, bytes.size()))
      fail("zip directory is cut short", number, std::to_string(whole) + " bytes",
           std::to_string(bytes.size() - at));
    const std::string name(text(bytes, at + kMemberSize, name_size));
    const bool plain = (u16(bytes, at + 8) & kEncrypted) == 0;
    const std::uint16_t method = u16(bytes, at + 10);
    const bool stored = plain && method == 0;
    std::uint64_t size = u32(bytes, at + 20), whole_size = u32(bytes, at + 24), header = u32(bytes, at + 42);
    const auto extra = bytes.subspan(at + kMemberSize + name_size, extra_size);
    for (std::uint64_t e = 0; fits(e, 4, extra.size());) {
      const std::uint64_t length = u16(extra, e + 2);
      if (!fits(e + 4, length, extra.size())) break;
      if (u16(extra, e) == kExtra64) {
        // Only what did not fit stands here, in this order.
        const auto wide = extra.subspan(e + 4, length);
        std::uint64_t next = 0;
        for (std::uint64_t* value : {&whole_size, &size, &header})
          if (*value == kSeeExtra && fits(next, 8, wide.size())) {
            *value = u64(wide, next);
            next += 8;
          }
      }
      e += 4 + length;
    }
    if (!fits(header, kLocalSize, directory_begin_) || !fits(header + kLocalSize, size, directory_begin_))
      fail("zip member lies outside the file", name, "before " + std::to_string(directory_begin_),
           std::to_string(size) + " bytes at " + std::to_string(header));
    if (stored && size != whole_size)
      fail("stored zip member has two sizes", name, std::to_string(size), std::to_string(whole_size));
    if (!members_.emplace(name, Member{header, size, stored, plain && method == kDeflate, whole_size}).second)
      fail("zip member comes twice", name, "one", "two");
    at += whole;
  }
}

const ZipArchive::Member& ZipArchive::member(std::string_view name) const {
  const auto found = members_.find(name);
  if (found == members_.end()) fail("zip member missing", name, "in the archive", "none of that name");
  return found->second;
}

std::span<const std::byte> ZipArchive::raw(const Member& member, std::string_view name) const {
  const std::uint64_t name_size = u16(bytes_, member.header + 26), extra = u16(bytes_, member.header + 28);
  const std::uint64_t begin = member.header + kLocalSize + name_size + extra;
  if (u32(bytes_, member.header) != kLocalMagic || !fits(begin, member.size, directory_begin_) ||
      text(bytes_, member.header + kLocalSize, name_size) != name)
    fail("zip member is not where the directory says", name, "its header",
         "another at " + std::to_string(member.header));
  return bytes_.subspan(begin, member.size);
}

std::span<const std::byte> ZipArchive::data(std::string_view name) const {
  const Member& found = member(name);
  if (!found.stored)
    throw_bad_input({.what = "zip member is compressed or encrypted",
                     .file = file_,
                     .tensor = shortened(name),
                     .expected = "stored as it is, as torch.save writes it",
                     .hint = "load and save it again with torch"});
  return raw(found, name);
}

std::string ZipArchive::unpacked(std::string_view name) const {
  const Member& found = member(name);
  const auto packed = raw(found, name);
  if (found.stored) return std::string(text(packed, 0, packed.size()));
  if (!found.deflated || found.unpacked_size > kLargestUnpacked || packed.size() > kLargestUnpacked)
    fail("zip member cannot be unpacked", name, "deflated, of at most 1 GiB",
         found.deflated ? std::to_string(found.unpacked_size) + " bytes" : "packed in another way");
  std::string out(found.unpacked_size, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw Error(ErrorKind::kResources, "zlib has no memory");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = inflate(&stream, Z_FINISH);
  const std::uint64_t written = stream.total_out;
  inflateEnd(&stream);
  if (result != Z_STREAM_END || written != out.size())
    fail("zip member is damaged", name, std::to_string(out.size()) + " bytes", std::to_string(written));
  return out;
}

}  // namespace defectoscope
