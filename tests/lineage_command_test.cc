// Signatures and what is done with them, through the command line.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "program.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class LineageCommand : public testing::Test {
 protected:
  LineageCommand()
      : folder_(fs::temp_directory_path() / ("defectoscope-lineage-" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    make_folder(folder_);
  }
  ~LineageCommand() override { fs::remove_all(folder_); }

  static std::string zoo(const std::string& name) { return DEFECTOSCOPE_SOURCE_DIR "/zoo/" + name; }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
};

TEST_F(LineageCommand, SignatureWritesASmallFileAndSaysWhatItHolds) {
  const Outcome outcome = run_defectoscope({"signature", zoo("llama-base"), "-o", file("a.sig.safetensors")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, HasSubstr("llama, 6 layers of width 64, canonical form"));
  EXPECT_THAT(outcome.out, HasSubstr("1023 sampled tokens"));
  EXPECT_LT(fs::file_size(file("a.sig.safetensors")), 30'000u);
}

TEST_F(LineageCommand, SignatureOfAModelWithoutTokenizerSaysWhatIsMissing) {
  fs::copy(zoo("llama-base"), folder_ / "bare");
  fs::remove(folder_ / "bare/tokenizer.json");
  const Outcome outcome = run_defectoscope({"signature", file("bare"), "-o", file("b.sig.safetensors")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("no vocabulary in its signature"));
  EXPECT_THAT(outcome.out, HasSubstr("vocabulary: none"));
}

TEST_F(LineageCommand, AFullDiskLeavesTheOldSignatureInPlace) {
  write_file(folder_ / "a.sig.safetensors", "old");
  const Outcome outcome = run_defectoscope({"signature", zoo("llama-base"), "-o", file("a.sig.safetensors")},
                                           {.folder = {}, .file_limit = 1000});
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
  EXPECT_EQ(read_file(folder_ / "a.sig.safetensors"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

}  // namespace
}  // namespace defectoscope
