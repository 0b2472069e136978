#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Writes zip files and pickles as torch does, and as it never would.
namespace defectoscope::testing_zip {

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

struct ZipMember {
  std::string name;
  std::string data;
  std::uint16_t method = 0;
};

/// Where things lie, for tests that spoil them.
struct Zip {
  std::string bytes;
  std::size_t directory = 0;
  std::size_t end = 0;
};

inline Zip make_zip(const std::vector<ZipMember>& members) {
  Zip zip;
  std::string directory;
  for (const ZipMember& member : members) {
    const auto header = static_cast<std::uint32_t>(zip.bytes.size());
    const auto size = static_cast<std::uint32_t>(member.data.size());
    const auto name_size = static_cast<std::uint16_t>(member.name.size());
    // Padding in the extra field places the data at a multiple of 64.
    const auto extra = static_cast<std::uint16_t>((64 - (header + 30 + name_size) % 64) % 64);
    put(zip.bytes, std::uint32_t{0x04034b50});
    zip.bytes += std::string(4, '\0');
    put(zip.bytes, member.method);
    zip.bytes += std::string(8, '\0');
    put(zip.bytes, size);
    put(zip.bytes, size);
    put(zip.bytes, name_size);
    put(zip.bytes, extra);
    zip.bytes += member.name + std::string(extra, 'Z') + member.data;
    put(directory, std::uint32_t{0x02014b50});
    directory += std::string(6, '\0');
    put(directory, member.method);
    directory += std::string(8, '\0');
    put(directory, size);
    put(directory, size);
    put(directory, name_size);
    directory += std::string(12, '\0');
    put(directory, header);
    directory += member.name;
  }
  zip.directory = zip.bytes.size();
  zip.bytes += directory;
  zip.end = zip.bytes.size();
  put(zip.bytes, std::uint32_t{0x06054b50});
  zip.bytes += std::string(4, '\0');
  put(zip.bytes, static_cast<std::uint16_t>(members.size()));
  put(zip.bytes, static_cast<std::uint16_t>(members.size()));
  put(zip.bytes, static_cast<std::uint32_t>(directory.size()));
  put(zip.bytes, static_cast<std::uint32_t>(zip.directory));
  put(zip.bytes, std::uint16_t{0});
  return zip;
}

/// Opcodes of a pickle, one call each.
inline std::string unicode(std::string_view text) {
  std::string out = "X";
  put(out, static_cast<std::uint32_t>(text.size()));
  return out + std::string(text);
}
inline std::string long1(std::int64_t value) {
  std::string out = "\x8a\x08";
  put(out, value);
  return out;
}
inline std::string global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string tuple(const std::vector<std::int64_t>& values) {
  std::string out = "(";
  for (const std::int64_t value : values) out += long1(value);
  return out + "t";
}

/// What makes one f32 tensor: storage "0" of `elements`.
inline std::string tensor(std::int64_t elements, std::int64_t offset, const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides, std::string_view type = "FloatStorage") {
  return global("torch._utils", "_rebuild_tensor_v2") + "((" + unicode("storage") + global("torch", type) +
         unicode("0") + unicode("cpu") + long1(elements) + "tQ" + long1(offset) + tuple(shape) +
         tuple(strides) + "\x89" + global("collections", "OrderedDict") + ")RtR";
}

/// A state dict of one entry.
inline std::string pickle_of(std::string_view name, const std::string& value) {
  return "\x80\x02}(" + unicode(name) + value + "u.";
}

}  // namespace defectoscope::testing_zip
