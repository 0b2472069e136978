#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace defectoscope {

/// A folder that a model is written into: what was written goes again unless finish() says that it is all
/// there.
class NewFolder {
 public:
  /// Makes the folder and its parents. Throws Error(kUsage) where it exists and is not empty or no folder,
  /// Error(kResources) where it cannot be made.
  explicit NewFolder(std::filesystem::path folder);
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  const std::filesystem::path& path() const { return folder_; }
  /// A file of the folder that somebody else wrote.
  void wrote(std::string file) { files_.push_back(std::move(file)); }
  /// Throws Error(kResources) as write_file does.
  void write(const std::string& name, std::string_view text);
  void finish() { done_ = true; }

 private:
  std::filesystem::path folder_;
  bool existed_ = false;
  bool done_ = false;
  std::vector<std::string> files_;
};

}  // namespace defectoscope
