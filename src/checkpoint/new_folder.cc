#include "checkpoint/new_folder.h"

#include "base/error.h"
#include "base/files.h"

namespace defectoscope {

NewFolder::NewFolder(std::filesystem::path folder) : folder_(std::move(folder)) {
  existed_ = std::filesystem::exists(folder_);
  if (existed_ && (!std::filesystem::is_directory(folder_) || !std::filesystem::is_empty(folder_)))
    throw Error(ErrorKind::kUsage,
                {.what = "cannot write a model there",
                 .file = folder_.string(),
                 .expected = "a new or an empty folder",
                 .got = std::filesystem::is_directory(folder_) ? "one that holds files" : "something else",
                 .hint = "choose another"});
  make_folder(folder_);
}

NewFolder::~NewFolder() {
  if (done_) return;
  std::error_code ignored;
  for (const std::string& file : files_) std::filesystem::remove(folder_ / file, ignored);
  if (!existed_) std::filesystem::remove(folder_, ignored);
}

void NewFolder::write(const std::string& name, std::string_view text) {
  write_file(folder_ / name, text);
  wrote(name);
}

}  // namespace defectoscope
