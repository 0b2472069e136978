#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>

#include <stdexcept>

#include "checkpoint/test_files.h"

namespace defectoscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_files::bad_input_message;
using testing_files::counting_tensor;
using testing_files::TemporaryFolder;

TEST(Safetensors, WhatWasWrittenIsReadBack) {
  const TemporaryFolder folder;
  const auto path = folder / "m.safetensors";
  write_safetensors(path, {counting_tensor("z \"quoted\"", {2, 3}, 1), counting_tensor("a", {}, 9)},
                    {{"format", "pt"}});
  const auto file = SafetensorsFile::open(path);
  ASSERT_EQ(file->tensors().size(), 2u);
  const Tensor& matrix = file->tensors().at("z \"quoted\"");
  EXPECT_THAT(matrix.shape, ElementsAre(2, 3));
  EXPECT_THAT(to_f32(matrix), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(to_f32(file->tensors().at("a")), ElementsAre(9));
  EXPECT_EQ(file->metadata().at("format"), "pt");
}

TEST(Safetensors, ATensorOutlivesTheFileObjectItCameFrom) {
  const TemporaryFolder folder;
  write_safetensors(folder / "m.safetensors", {counting_tensor("t", {4})});
  Tensor tensor;
  {
    tensor = SafetensorsFile::open(folder / "m.safetensors")->tensors().at("t");
  }
  EXPECT_THAT(to_f32(tensor), ElementsAre(0, 1, 2, 3));
}

TEST(Safetensors, DataBeginAligned) {
  const TemporaryFolder folder;
  for (const char* name : {"t", "tt", "ttt", "tttt", "ttttt"}) {
    write_safetensors(folder / "m.safetensors", {counting_tensor(name, {4})});
    const auto file = SafetensorsFile::open(folder / "m.safetensors");
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file->tensors().at(name).data) % 8, 0u);
  }
}

TEST(Safetensors, AFileCutOffAnywhereIsRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "m.safetensors";
  write_safetensors(path, {counting_tensor("t", {4, 4})});
  for (std::uintmax_t kept = std::filesystem::file_size(path); kept-- > 0;) {
    std::filesystem::resize_file(path, kept);
    EXPECT_THAT(bad_input_message([&] { SafetensorsFile::open(path); }), HasSubstr("m.safetensors")) << kept;
  }
}

TEST(Safetensors, AWriterWithoutCommitLeavesNothing) {
  const TemporaryFolder folder;
  {
    SafetensorsWriter writer(folder / "m.safetensors", {{"t", DType::kF32, {4}}});
    const std::vector<std::byte> half(8);
    writer.append(half);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Safetensors, AWriterThatIsFedTooLittleOrTooMuchRefusesToCommit) {
  const TemporaryFolder folder;
  for (const std::size_t bytes : {15u, 17u}) {
    SafetensorsWriter writer(folder / "m.safetensors", {{"t", DType::kF32, {4}}});
    writer.append(std::vector<std::byte>(bytes));
    EXPECT_THROW(writer.commit(), std::logic_error);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "m.safetensors"));
}

TEST(Safetensors, TwoEntriesOfOneNameAreOurOwnMistake) {
  const TemporaryFolder folder;
  EXPECT_THROW(
      SafetensorsWriter(folder / "m.safetensors", {{"t", DType::kF32, {4}}, {"t", DType::kF32, {4}}}),
      std::logic_error);
}

TEST(Safetensors, AFolderThatCannotBeWrittenToIsAMatterOfResources) {
  const TemporaryFolder folder;
  try {
    write_safetensors(folder.path() / "none" / "m.safetensors", {counting_tensor("t", {4})});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kResources);
  }
}

}  // namespace
}  // namespace defectoscope
