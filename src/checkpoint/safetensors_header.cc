#include "checkpoint/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "checkpoint/strict_json.h"
#include "tensor/tensor.h"

namespace defectoscope {
namespace {

constexpr Index kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // the reference implementation's limit
constexpr std::size_t kMaxRank = 32;
constexpr std::string_view kMetadata = "__metadata__";

constexpr std::array<std::pair<std::string_view, DType>, 12> kDTypes = {{{"F64", DType::kF64},
                                                                         {"F32", DType::kF32},
                                                                         {"F16", DType::kF16},
                                                                         {"BF16", DType::kBF16},
                                                                         {"F8_E4M3", DType::kF8E4M3},
                                                                         {"F8_E5M2", DType::kF8E5M2},
                                                                         {"I64", DType::kI64},
                                                                         {"I32", DType::kI32},
                                                                         {"I16", DType::kI16},
                                                                         {"I8", DType::kI8},
                                                                         {"U8", DType::kU8},
                                                                         {"BOOL", DType::kBool}}};

std::string known_dtypes() {
  std::string list;
  for (const auto& [text, type] : kDTypes) list += (list.empty() ? "" : ", ") + std::string(text);
  return list;
}

/// Reads the header's JSON straight into entries: no document is built, so that a hostile header costs no
/// more memory than its own length, and duplicate keys are seen.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(const std::string& file, SafetensorsHeader& header) : file_(file), header_(header) {}

  bool null() override { return value("null"); }
  bool boolean(bool flag) override { return value(flag ? "true" : "false"); }
  bool number_integer(number_integer_t number) override { return value(std::to_string(number)); }
  bool number_float(number_float_t, const string_t& text) override { return value(shortened(text)); }
  bool binary(binary_t&) override { return false; }

  bool number_unsigned(number_unsigned_t number) override {
    if (place_ != Place::kShape && place_ != Place::kOffsets) return value(std::to_string(number));
    if (number > static_cast<number_unsigned_t>(std::numeric_limits<Index>::max()))
      return value(std::to_string(number));
    std::vector<Index>& list = place_ == Place::kShape ? entry_.shape : offsets_;
    if (list.size() == kMaxRank) fail("too many dimensions", "at most " + std::to_string(kMaxRank), "more");
    list.push_back(static_cast<Index>(number));
    return true;
  }

  bool string(string_t& text) override {
    if (place_ == Place::kMetadata) {
      header_.metadata[key_] = text;
      return true;
    }
    if (place_ != Place::kTensor || key_ != "dtype") return value('"' + shortened(text) + '"');
    const auto* const found = std::ranges::find(kDTypes, text, &std::pair<std::string_view, DType>::first);
    if (found == kDTypes.end()) fail("unknown dtype", known_dtypes(), shortened(text));
    entry_.dtype = found->second;
    return true;
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kOutside:
        place_ = Place::kTop;
        return true;
      case Place::kTop:
        place_ = key_ == kMetadata ? Place::kMetadata : Place::kTensor;
        seen_.clear();
        offsets_.clear();
        entry_ = {};
        if (place_ == Place::kTensor) entry_.name = key_;
        return true;
      default:
        return value("an object");
    }
  }

  bool end_object() override {
    if (place_ == Place::kTensor) finish_tensor();
    place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && key_ == "shape")
      place_ = Place::kShape;
    else if (place_ == Place::kTensor && key_ == "data_offsets")
      place_ = Place::kOffsets;
    else
      return value("an array");
    return true;
  }

  bool end_array() override {
    place_ = Place::kTensor;
    return true;
  }

  bool key(string_t& text) override {
    if (!(place_ == Place::kTop ? names_ : seen_).insert(text).second)
      throw_bad_input({.what = "duplicate key in safetensors header",
                       .file = file_,
                       .tensor = shortened(place_ == Place::kTensor ? entry_.name : text),
                       .expected = "each key once",
                       .got = "a second \"" + shortened(text) + "\""});
    key_ = std::move(text);
    return true;
  }

  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    throw_bad_input(
        {.what = "safetensors header is not valid JSON",
         .file = file_,
         .got = "\"" + shortened(token) + "\" at byte " + std::to_string(position) + " of the header",
         .hint = "the file is damaged or no safetensors file: download it again"});
  }

 private:
  enum class Place { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };

  [[noreturn]] void fail(const char* what, const std::string& expected, const std::string& got) const {
    const bool inside = place_ == Place::kTensor || place_ == Place::kShape || place_ == Place::kOffsets;
    throw_bad_input({.what = std::string("malformed safetensors header: ") + what,
                     .file = file_,
                     .tensor = shortened(inside ? entry_.name : key_),
                     .expected = expected,
                     .got = got,
                     .hint = "the file is damaged: download it again"});
  }

  /// Any value that is not what its place calls for.
  bool value(const std::string& got) const {
    switch (place_) {
      case Place::kOutside:
        fail("the header is no object", "{...}", got);
      case Place::kTop:
        fail("a tensor is no object", "{\"dtype\", \"shape\", \"data_offsets\"}", got);
      case Place::kMetadata:
        fail("__metadata__ holds something else than text", "text", got);
      case Place::kTensor:
        if (key_ == "dtype") fail("wrong dtype", "a text", got);
        if (key_ == "shape") fail("wrong shape", "a list of sizes", got);
        if (key_ == "data_offsets") fail("wrong data_offsets", "[begin, end]", got);
        fail("unknown key", "dtype, shape, data_offsets", shortened(key_) + ": " + got);
      case Place::kShape:
        fail("wrong shape", "sizes from 0 to 2^63 - 1", got);
      case Place::kOffsets:
        fail("wrong data_offsets", "bytes from 0 to 2^63 - 1", got);
    }
    return false;
  }

  void finish_tensor() {
    for (const char* needed : {"dtype", "shape", "data_offsets"})
      if (!seen_.contains(needed)) fail("a key is missing", needed, "none");
    if (offsets_.size() != 2)
      fail("wrong data_offsets", "[begin, end]", std::to_string(offsets_.size()) + " numbers");
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
    header_.tensors.push_back(std::move(entry_));
  }

  const std::string& file_;
  SafetensorsHeader& header_;
  Place place_ = Place::kOutside;
  std::string key_;
  std::set<std::string, std::less<>> names_;  // keys of the whole header
  std::set<std::string, std::less<>> seen_;   // keys of the object inside
  SafetensorsHeader::Entry entry_;
  std::vector<Index> offsets_;
};

/// Bytes of a tensor, or -1 where the product overflows. Every partial product must fit, in any order, so
/// that Tensor::elements() is safe even where some extent is 0.
Index byte_size(const SafetensorsHeader::Entry& entry) {
  Index product = dtype_size(entry.dtype);
  bool zero = false;
  for (const Index extent : entry.shape) {
    zero |= extent == 0;
    if (extent != 0 && __builtin_mul_overflow(product, extent, &product)) return -1;
  }
  return zero ? 0 : product;
}

[[noreturn]] void fail(const SafetensorsHeader::Entry& entry, const std::string& file, const char* what,
                       const std::string& expected, const std::string& got,
                       const char* hint = "the file is damaged: download it again") {
  throw_bad_input({.what = what,
                   .file = file,
                   .tensor = shortened(entry.name),
                   .expected = expected,
                   .got = got,
                   .hint = hint});
}

std::string range_of(const SafetensorsHeader::Entry& entry) {
  const std::array<Index, 2> ends = {entry.begin, entry.end};
  return shape_text(ends);
}

/// One tensor by itself: its range against its shape and the file.
void check_entry(const SafetensorsHeader::Entry& entry, Index data_size, const std::string& file) {
  const Index size = byte_size(entry);
  if (size < 0) fail(entry, file, "tensor shape overflows", "fewer than 2^63 bytes", shape_text(entry.shape));
  if (entry.begin > entry.end)
    fail(entry, file, "tensor data end before they begin", "begin <= end", range_of(entry));
  if (entry.end - entry.begin != size)
    fail(entry, file, "tensor data do not match dtype and shape",
         std::to_string(size) + " bytes for " + std::string(safetensors_dtype(entry.dtype)) + " " +
             shape_text(entry.shape),
         std::to_string(entry.end - entry.begin) + " bytes, " + range_of(entry));
  if (entry.end > data_size)
    fail(entry, file, "tensor data lie outside the file",
         "at most " + std::to_string(data_size) + " bytes of data", range_of(entry),
         "the file is cut off: download it again");
}

void check_layout(SafetensorsHeader& header, Index data_size, const std::string& file) {
  std::ranges::sort(header.tensors, {}, [](const SafetensorsHeader::Entry& entry) {
    return std::tie(entry.begin, entry.end, entry.name);
  });
  // Each by itself first: a tensor that was moved leaves a hole, but is the one to name.
  for (const SafetensorsHeader::Entry& entry : header.tensors) check_entry(entry, data_size, file);
  Index covered = 0;
  const SafetensorsHeader::Entry* previous = nullptr;
  for (const SafetensorsHeader::Entry& entry : header.tensors) {
    if (entry.begin < covered)
      fail(entry, file, "tensor data overlap", "data after those of " + shortened(previous->name),
           range_of(entry));
    if (entry.begin > covered)
      fail(entry, file, "hole in the data", "data from byte " + std::to_string(covered) + " on",
           range_of(entry));
    covered = entry.end;
    previous = &entry;
  }
  if (covered != data_size)
    throw_bad_input({.what = "bytes after the last tensor",
                     .file = file,
                     .expected = std::to_string(covered) + " bytes of data",
                     .got = std::to_string(data_size),
                     .hint = "the file is damaged: download it again"});
}

}  // namespace

std::string_view safetensors_dtype(DType type) {
  return std::ranges::find(kDTypes, type, &std::pair<std::string_view, DType>::second)->first;
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, const std::string& name) {
  if (file.size() < static_cast<std::size_t>(kLengthBytes))
    throw_bad_input({.what = "too short for a safetensors file",
                     .file = name,
                     .expected = "at least 8 bytes",
                     .got = std::to_string(file.size()),
                     .hint = "the file is cut off: download it again"});
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  const std::uint64_t rest = file.size() - static_cast<std::size_t>(kLengthBytes);
  if (length > kMaxHeader)
    throw_bad_input({.what = "safetensors header too long",
                     .file = name,
                     .expected = "at most " + std::to_string(kMaxHeader) + " bytes",
                     .got = std::to_string(length),
                     .hint = "this is no safetensors file, or a damaged one"});
  if (length > rest)
    throw_bad_input({.what = "safetensors header longer than the file",
                     .file = name,
                     .expected = "at most " + std::to_string(rest) + " bytes",
                     .got = std::to_string(length),
                     .hint = "the file is cut off or no safetensors file: download it again"});
  SafetensorsHeader header;
  HeaderReader reader(name, header);
  const auto* text = reinterpret_cast<const char*>(file.data()) + kLengthBytes;
  nlohmann::json::sax_parse(std::string_view(text, length), &reader);
  header.data_begin = kLengthBytes + static_cast<Index>(length);
  check_layout(header, static_cast<Index>(rest - length), name);
  return header;
}

}  // namespace defectoscope
