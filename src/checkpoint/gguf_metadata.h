#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// The types a GGUF value can have, numbered as in the file.
enum class GgufType : std::uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12
};

/// One tensor's entry: what it is and where its bytes begin.
struct GgufTensor {
  std::string name;
  std::vector<Index>
      dimensions;            ///< innermost first, as in the file: a matrix of r rows, c columns is {c, r}
  std::uint32_t type = 0;    ///< ggml's number for the format of its values
  std::uint64_t offset = 0;  ///< bytes behind GgufMetadata::data_offset()
};

/// Key-value pairs and tensor entries of a GGUF file, version 2 or 3, little-endian. Reads the header alone
/// and copies no array: values are looked at in the file when asked for. Everything is checked against the
/// file's size; Error(kBadInput) names file, key, expected and got.
///
/// Layout: "GGUF", version (u32), tensors (u64), pairs (u64), pairs (key, type, value), tensor entries,
/// padding.
class GgufMetadata {
 public:
  /// `bytes` is the whole file (mapped) and must outlive this; `file` names it in errors.
  GgufMetadata(std::span<const std::byte> bytes, std::string file);

  bool has(const std::string& key) const { return values_.contains(key); }
  bool is_array(const std::string& key) const { return has(key) && values_.at(key).array; }
  /// None where the key is absent; Error where it has another type. Integers of every width are taken.
  std::optional<std::string_view> text(const std::string& key) const;
  std::optional<std::int64_t> integer(const std::string& key) const;
  std::optional<double> number(const std::string& key) const;
  std::optional<bool> flag(const std::string& key) const;
  /// Arrays; empty where the key is absent.
  std::vector<std::string_view> texts(const std::string& key) const;
  std::vector<std::int64_t> integers(const std::string& key) const;
  std::vector<double> numbers(const std::string& key) const;
  std::vector<std::uint8_t> octets(const std::string& key) const;
  /// Entries of an array, without reading it; 0 where the key is absent.
  Index count(const std::string& key) const;

  std::vector<std::string> keys() const;
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  /// Where tensor data begins, a multiple of general.alignment (32 where not given).
  std::uint64_t data_offset() const { return data_offset_; }
  const std::string& file() const { return file_; }

 private:
  struct Value {
    GgufType type = GgufType::kUint8;  ///< of the value, of its elements for an array
    bool array = false;
    std::uint64_t count = 1;
    std::span<const std::byte> bytes;  ///< the value, or all elements
  };
  class Cursor;

  Value read_value(Cursor& cursor, const std::string& key) const;
  void read_tensor(Cursor& cursor);
  const Value* find(const std::string& key, bool array, const char* expected) const;
  [[noreturn]] void wrong_type(const std::string& key, const char* expected, const Value& got) const;
  std::int64_t integer_at(const std::string& key, const Value& value, std::uint64_t position) const;
  double number_at(const std::string& key, const Value& value, std::uint64_t position) const;

  std::span<const std::byte> bytes_;
  std::string file_;
  std::map<std::string, Value> values_;
  std::vector<GgufTensor> tensors_;
  std::uint64_t data_offset_ = 0;
};

}  // namespace defectoscope
