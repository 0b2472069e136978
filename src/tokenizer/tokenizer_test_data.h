#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>

#include "base/error.h"

namespace defectoscope {

/// The folder of public test data that may lie beside the source tree, and our own.
inline std::filesystem::path shared_data() {
  return std::filesystem::path(DEFECTOSCOPE_SOURCE_DIR) / ".." / "shared" / "data";
}
inline std::filesystem::path own_data() {
  return std::filesystem::path(DEFECTOSCOPE_SOURCE_DIR) / "src" / "tokenizer" / "testdata";
}

#define SKIP_WITHOUT_SHARED_DATA() \
  if (!std::filesystem::exists(shared_data())) GTEST_SKIP() << "no public test data in " << shared_data()

/// The message of the Error(kBadInput) that `body` throws, or "no error".
inline std::string problem_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    return error.what();
  }
  return "no error";
}

/// A new empty folder that is removed with the object.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "defectoscope-tokenizer-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace defectoscope
