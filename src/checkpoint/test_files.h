#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

/// What the tests of checkpoints and models share.
namespace defectoscope::testing_files {

/// A folder of its own for one test, gone afterwards.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    static std::atomic<int> serial{0};
    path_ = std::filesystem::temp_directory_path() /
            ("defectoscope-" + std::to_string(::getpid()) + "-" + std::to_string(serial++));
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// The message of the Error(kBadInput) that `action` must throw.
template <typename Action>
std::string bad_input_message(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

/// A safetensors file as text: the header as given, its length before it, `data_bytes` zeros after it.
inline std::string raw_safetensors(std::string_view header, std::size_t data_bytes = 0) {
  const std::uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + std::string(header) + std::string(data_bytes, '\0');
}

/// An owned f32 tensor whose elements count up from `first`.
inline Tensor counting_tensor(std::string name, std::vector<Index> shape, float first = 0) {
  Tensor tensor{std::move(name), DType::kF32, std::move(shape), nullptr, nullptr};
  const auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(tensor.elements()));
  for (float& value : *values) value = first++;
  tensor.data = reinterpret_cast<const std::byte*>(values->data());
  tensor.owner = values;
  return tensor;
}

}  // namespace defectoscope::testing_files
