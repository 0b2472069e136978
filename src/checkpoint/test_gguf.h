#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/gguf_metadata.h"

/// Writes GGUF files for tests.
namespace defectoscope::testing_gguf {

/// f32 values 0, 1, 2, ...
inline std::string f32_bytes(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    const auto value = static_cast<float>(i);
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return out;
}

class GgufFile {
 public:
  explicit GgufFile(std::string_view architecture) { text("general.architecture", architecture); }

  GgufFile& text(std::string_view key, std::string_view value) {
    start(key, GgufType::kString);
    put_text(pairs_, value);
    return *this;
  }
  GgufFile& integer(std::string_view key, std::uint32_t value) {
    start(key, GgufType::kUint32);
    put(pairs_, value);
    return *this;
  }
  GgufFile& texts(std::string_view key, const std::vector<std::string>& values) {
    start_array(key, GgufType::kString, values.size());
    for (const std::string& value : values) put_text(pairs_, value);
    return *this;
  }
  GgufFile& numbers(std::string_view key, const std::vector<float>& values) {
    start_array(key, GgufType::kFloat32, values.size());
    for (const float value : values) put(pairs_, value);
    return *this;
  }
  GgufFile& integers(std::string_view key, const std::vector<std::int32_t>& values) {
    start_array(key, GgufType::kInt32, values.size());
    for (const std::int32_t value : values) put(pairs_, value);
    return *this;
  }
  GgufFile& number(std::string_view key, float value) {
    start(key, GgufType::kFloat32);
    put(pairs_, value);
    return *this;
  }
  GgufFile& flag(std::string_view key, bool value) {
    start(key, GgufType::kBool);
    put(pairs_, value);
    return *this;
  }
  /// `dimensions` innermost first; `offset_error` moves the entry off its data.
  GgufFile& tensor(std::string_view name, const std::vector<std::int64_t>& dimensions, std::uint32_t type,
                   const std::string& data, std::uint64_t offset_error = 0) {
    put_text(entries_, name);
    put(entries_, static_cast<std::uint32_t>(dimensions.size()));
    for (const std::int64_t dimension : dimensions) put(entries_, dimension);
    put(entries_, type);
    data_.resize((data_.size() + 31) / 32 * 32);
    put(entries_, data_.size() + offset_error);
    data_ += data;
    ++tensors_;
    return *this;
  }
  std::string bytes(std::uint32_t version = 3) const {
    std::string out = "GGUF";
    put(out, version);
    put(out, tensors_);
    put(out, pair_count_);
    out += pairs_ + entries_;
    if (!data_.empty()) out.resize((out.size() + 31) / 32 * 32);
    return out + data_;
  }

 private:
  template <typename T>
  static void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  static void put_text(std::string& out, std::string_view text) {
    put(out, std::uint64_t{text.size()});
    out += text;
  }
  void start_array(std::string_view key, GgufType type, std::size_t size) {
    start(key, GgufType::kArray);
    put(pairs_, static_cast<std::uint32_t>(type));
    put(pairs_, std::uint64_t{size});
  }
  void start(std::string_view key, GgufType type) {
    put_text(pairs_, key);
    put(pairs_, static_cast<std::uint32_t>(type));
    ++pair_count_;
  }

  std::string pairs_, entries_, data_;
  std::uint64_t pair_count_ = 0, tensors_ = 0;
};

}  // namespace defectoscope::testing_gguf
