#include "checkpoint/gguf_metadata.h"

#include <cstring>
#include <limits>
#include <set>

#include "base/error.h"

namespace defectoscope {
namespace {

constexpr std::uint64_t kLongestKey = 65535;  // the format's own bound
constexpr std::uint32_t kMostDimensions = 8;
constexpr std::int64_t kDefaultAlignment = 32;

/// Bytes of a value of fixed size; 0 for strings and arrays.
std::size_t size_of(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

const char* name_of(GgufType type) {
  switch (type) {
    case GgufType::kString:
      return "text";
    case GgufType::kBool:
      return "true or false";
    case GgufType::kFloat32:
    case GgufType::kFloat64:
      return "a floating-point number";
    case GgufType::kArray:
      return "an array";
    default:
      return "an integer";
  }
}

template <typename T>
T load_at(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

}  // namespace

/// Reads on through the header and never past the end of the file.
class GgufMetadata::Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return bytes_.size() - position_; }

  std::span<const std::byte> take(std::uint64_t size, const std::string& what) {
    if (size > left())
      throw_bad_input({.what = "GGUF header is cut short",
                       .file = file_,
                       .tensor = what,
                       .expected = std::to_string(size) + " bytes",
                       .got = std::to_string(left()) + " bytes before the end of the file",
                       .hint = "the file is damaged or not fully downloaded"});
    const auto taken = bytes_.subspan(position_, size);
    position_ += size;
    return taken;
  }

  template <typename T>
  T number(const std::string& what) {
    return load_at<T>(take(sizeof(T), what).data());
  }

  std::string_view text(const std::string& what) {
    const auto size = number<std::uint64_t>(what);
    const auto taken = take(size, what);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& file_;
  std::uint64_t position_ = 0;
};

GgufMetadata::GgufMetadata(std::span<const std::byte> bytes, std::string file)
    : bytes_(bytes), file_(std::move(file)) {
  Cursor cursor(bytes_, file_);
  const auto magic = cursor.take(4, "magic");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0)
    throw_bad_input(
        {.what = "not a GGUF file", .file = file_, .expected = "\"GGUF\" in the first four bytes"});
  const auto version = cursor.number<std::uint32_t>("version");
  if (version != 2 && version != 3)
    throw_bad_input({.what = "GGUF version is not supported",
                     .file = file_,
                     .expected = "2 or 3, little-endian",
                     .got = std::to_string(version),
                     .hint = "convert it anew with a current llama.cpp"});
  const auto tensor_count = cursor.number<std::uint64_t>("number of tensors");
  const auto pair_count = cursor.number<std::uint64_t>("number of keys");
  for (std::uint64_t i = 0; i < pair_count; ++i) {
    const std::string what = "key " + std::to_string(i);
    const auto key = std::string(cursor.text(what));
    if (key.empty() || key.size() > kLongestKey)
      throw_bad_input({.what = "not a GGUF key", .file = file_, .tensor = what});
    const Value value = read_value(cursor, key);
    if (!values_.emplace(key, value).second)
      throw_bad_input({.what = "GGUF key comes twice", .file = file_, .tensor = key});
  }
  for (std::uint64_t i = 0; i < tensor_count; ++i) read_tensor(cursor);
  std::set<std::string_view> names;
  for (const GgufTensor& tensor : tensors_)
    if (!names.insert(tensor.name).second)
      throw_bad_input({.what = "GGUF tensor comes twice", .file = file_, .tensor = tensor.name});

  const std::int64_t alignment = integer("general.alignment").value_or(kDefaultAlignment);
  if (alignment <= 0 || alignment > (1 << 20) || (alignment & (alignment - 1)) != 0)
    throw_bad_input({.what = "wrong value",
                     .file = file_,
                     .tensor = "general.alignment",
                     .expected = "a power of two",
                     .got = std::to_string(alignment)});
  const auto step = static_cast<std::uint64_t>(alignment);
  data_offset_ = (cursor.position() + step - 1) / step * step;
}

GgufMetadata::Value GgufMetadata::read_value(Cursor& cursor, const std::string& key) const {
  const auto checked_type = [&](std::uint32_t number) {
    if (number > static_cast<std::uint32_t>(GgufType::kFloat64))
      throw_bad_input({.what = "GGUF value has an unknown type",
                       .file = file_,
                       .tensor = key,
                       .expected = "0 to 12",
                       .got = std::to_string(number)});
    return static_cast<GgufType>(number);
  };
  Value value;
  value.type = checked_type(cursor.number<std::uint32_t>(key));
  if (value.type == GgufType::kArray) {
    value.array = true;
    value.type = checked_type(cursor.number<std::uint32_t>(key));
    value.count = cursor.number<std::uint64_t>(key);
    if (value.type == GgufType::kArray)
      throw_bad_input(
          {.what = "array of arrays in a GGUF header is not supported", .file = file_, .tensor = key});
  }
  const std::uint64_t start = cursor.position();
  if (value.type == GgufType::kString) {
    for (std::uint64_t i = 0; i < value.count; ++i) cursor.text(key);
  } else {
    const std::uint64_t each = size_of(value.type);
    // Compared by division: the product may not fit.
    if (value.count > cursor.left() / each)
      throw_bad_input({.what = "GGUF array is longer than the file",
                       .file = file_,
                       .tensor = key,
                       .expected = "at most " + std::to_string(cursor.left() / each) + " entries",
                       .got = std::to_string(value.count)});
    cursor.take(value.count * each, key);
  }
  value.bytes = bytes_.subspan(start, cursor.position() - start);
  return value;
}

void GgufMetadata::read_tensor(Cursor& cursor) {
  const std::string what = "tensor " + std::to_string(tensors_.size());
  GgufTensor tensor;
  tensor.name = std::string(cursor.text(what));
  const auto rank = cursor.number<std::uint32_t>(tensor.name);
  if (rank > kMostDimensions)
    throw_bad_input({.what = "too many dimensions",
                     .file = file_,
                     .tensor = tensor.name,
                     .expected = "at most " + std::to_string(kMostDimensions),
                     .got = std::to_string(rank)});
  std::int64_t elements = 1;
  for (std::uint32_t i = 0; i < rank; ++i) {
    const auto dimension = cursor.number<std::uint64_t>(tensor.name);
    const auto room = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / elements);
    if (dimension == 0 || dimension > room)
      throw_bad_input({.what = "shape is empty or too large to count",
                       .file = file_,
                       .tensor = tensor.name,
                       .got = std::to_string(dimension) + " in dimension " + std::to_string(i)});
    elements *= static_cast<std::int64_t>(dimension);
    tensor.dimensions.push_back(static_cast<Index>(dimension));
  }
  tensor.type = cursor.number<std::uint32_t>(tensor.name);
  tensor.offset = cursor.number<std::uint64_t>(tensor.name);
  tensors_.push_back(std::move(tensor));
}

void GgufMetadata::wrong_type(const std::string& key, const char* expected, const Value& got) const {
  throw_bad_input({.what = "GGUF key has the wrong type",
                   .file = file_,
                   .tensor = key,
                   .expected = expected,
                   .got = (got.array ? "an array, each " : "") + std::string(name_of(got.type))});
}

const GgufMetadata::Value* GgufMetadata::find(const std::string& key, bool array,
                                              const char* expected) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return nullptr;
  if (found->second.array != array) wrong_type(key, expected, found->second);
  return &found->second;
}

std::int64_t GgufMetadata::integer_at(const std::string& key, const Value& value,
                                      std::uint64_t position) const {
  const std::byte* at = value.bytes.data() + position * size_of(value.type);
  switch (value.type) {
    case GgufType::kUint8:
    case GgufType::kBool:
      return load_at<std::uint8_t>(at);
    case GgufType::kInt8:
      return load_at<std::int8_t>(at);
    case GgufType::kUint16:
      return load_at<std::uint16_t>(at);
    case GgufType::kInt16:
      return load_at<std::int16_t>(at);
    case GgufType::kUint32:
      return load_at<std::uint32_t>(at);
    case GgufType::kInt32:
      return load_at<std::int32_t>(at);
    case GgufType::kInt64:
      return load_at<std::int64_t>(at);
    case GgufType::kUint64: {
      const auto number = load_at<std::uint64_t>(at);
      if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        throw_bad_input(
            {.what = "number is too large", .file = file_, .tensor = key, .got = std::to_string(number)});
      return static_cast<std::int64_t>(number);
    }
    default:
      wrong_type(key, "an integer", value);
  }
}

double GgufMetadata::number_at(const std::string& key, const Value& value, std::uint64_t position) const {
  const std::byte* at = value.bytes.data() + position * size_of(value.type);
  if (value.type == GgufType::kFloat32) return load_at<float>(at);
  if (value.type == GgufType::kFloat64) return load_at<double>(at);
  if (value.type == GgufType::kString) wrong_type(key, "a number", value);
  return static_cast<double>(integer_at(key, value, position));
}

std::optional<std::string_view> GgufMetadata::text(const std::string& key) const {
  const Value* value = find(key, false, "text");
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kString) wrong_type(key, "text", *value);
  return Cursor(value->bytes, file_).text(key);
}

std::optional<std::int64_t> GgufMetadata::integer(const std::string& key) const {
  const Value* value = find(key, false, "an integer");
  if (value == nullptr) return std::nullopt;
  return integer_at(key, *value, 0);
}

std::optional<double> GgufMetadata::number(const std::string& key) const {
  const Value* value = find(key, false, "a number");
  if (value == nullptr) return std::nullopt;
  return number_at(key, *value, 0);
}

std::optional<bool> GgufMetadata::flag(const std::string& key) const {
  const Value* value = find(key, false, "true or false");
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kBool) wrong_type(key, "true or false", *value);
  return load_at<std::uint8_t>(value->bytes.data()) != 0;
}

std::vector<std::string_view> GgufMetadata::texts(const std::string& key) const {
  const Value* value = find(key, true, "an array of texts");
  std::vector<std::string_view> result;
  if (value == nullptr) return result;
  if (value->type != GgufType::kString) wrong_type(key, "an array of texts", *value);
  Cursor cursor(value->bytes, file_);
  result.reserve(value->count);
  for (std::uint64_t i = 0; i < value->count; ++i) result.push_back(cursor.text(key));
  return result;
}

std::vector<std::int64_t> GgufMetadata::integers(const std::string& key) const {
  const Value* value = find(key, true, "an array of integers");
  std::vector<std::int64_t> result;
  if (value == nullptr) return result;
  if (value->type == GgufType::kString) wrong_type(key, "an array of integers", *value);
  result.reserve(value->count);
  for (std::uint64_t i = 0; i < value->count; ++i) result.push_back(integer_at(key, *value, i));
  return result;
}

std::vector<double> GgufMetadata::numbers(const std::string& key) const {
  const Value* value = find(key, true, "an array of numbers");
  std::vector<double> result;
  if (value == nullptr) return result;
  result.reserve(value->count);
  for (std::uint64_t i = 0; i < value->count; ++i) result.push_back(number_at(key, *value, i));
  return result;
}

std::vector<std::uint8_t> GgufMetadata::octets(const std::string& key) const {
  const Value* value = find(key, true, "an array of bytes");
  if (value == nullptr) return {};
  if (size_of(value->type) != 1) wrong_type(key, "an array of bytes", *value);
  const auto* first = reinterpret_cast<const std::uint8_t*>(value->bytes.data());
  return {first, first + value->bytes.size()};
}

Index GgufMetadata::count(const std::string& key) const {
  const Value* value = find(key, true, "an array");
  return value == nullptr ? 0 : static_cast<Index>(value->count);
}

std::vector<std::string> GgufMetadata::keys() const {
  std::vector<std::string> result;
  for (const auto& [key, value] : values_) result.push_back(key);
  return result;
}

}  // namespace defectoscope
