#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/sha256.h"

namespace defectoscope {
namespace {

using testing::HasSubstr;

TEST(Philox, AgreesWithThePublishedKnownAnswers) {
  // Random123's kat_vectors: counter and key of all zeros and all ones.
  EXPECT_THAT(philox(0, 0, 0), testing::ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  EXPECT_THAT(philox(~0ull, ~0ull, ~0ull),
              testing::ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
}

TEST(Random, NormalsHaveUnitVarianceAndStreamsDiffer) {
  Random random(7, 1);
  double sum = 0;
  double squares = 0;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.03);
  EXPECT_NEAR(squares / kDraws, 1, 0.05);
  EXPECT_NE(Random(7, 1).next_u64(), Random(7, 2).next_u64());
  EXPECT_EQ(Random(7, 1).next_u64(), Random(7, 1).next_u64());
}

TEST(ParallelFor, RunsEachTileOnceAndRethrowsTheFirstException) {
  std::vector<std::atomic<int>> seen(1000);
  parallel_for(1000, [&](Index i) { ++seen[static_cast<std::size_t>(i)]; });
  for (const auto& count : seen) EXPECT_EQ(count, 1);
  EXPECT_THROW(parallel_for(8,
                            [](Index i) {
                              if (i == 3) throw Error(ErrorKind::kBadInput, "tile 3");
                            }),
               Error);
}

TEST(ParallelFor, LibrariesInsideATileUseOneThread) {
  const int before = omp_get_max_threads();
  for (const Index tiles : {1, 3}) parallel_for(tiles, [](Index) { EXPECT_EQ(omp_get_max_threads(), 1); });
  EXPECT_EQ(omp_get_max_threads(), before);
}

TEST(ParallelRanges, CoverTheCountWithoutOverlap) {
  std::vector<int> seen(103, 0);
  parallel_ranges(103, 10, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
  });
  EXPECT_THAT(seen, testing::Each(1));
}

TEST(Error, NamesFileTensorExpectedGotAndWhatToDo) {
  const Error error(ErrorKind::kBadInput, ErrorParts{.what = "wrong shape",
                                                     .file = "a.safetensors",
                                                     .tensor = "model.norm.weight",
                                                     .expected = "[64]",
                                                     .got = "[32]",
                                                     .hint = "download it again"});
  EXPECT_EQ(error.exit_code(), 3);
  for (const char* part :
       {"wrong shape", "a.safetensors", "model.norm.weight", "[64]", "[32]", "download it again"})
    EXPECT_THAT(error.what(), HasSubstr(part));
}

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("files_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    make_folder(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(FilesTest, AnUncommittedWriteLeavesTheOldFileInPlaceAndNothingElse) {
  const auto path = folder_ / "results.json";
  write_file(path, "good");
  {
    AtomicFile file(path);
    file.write("half");
  }
  EXPECT_EQ(read_file(path), "good");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(FilesTest, ACommittedWriteReplacesTheFile) {
  const auto path = folder_ / "results.json";
  write_file(path, "old");
  write_file(path, "new");
  EXPECT_EQ(read_file(path), "new");
}

TEST_F(FilesTest, MissingFileAndFolderInPlaceOfFileAreBadInput) {
  EXPECT_THROW(MappedFile(folder_ / "none"), Error);
  EXPECT_THROW(MappedFile{folder_}, Error);
}

TEST_F(FilesTest, AFolderBelowAFileCannotBeMadeAndTheMessageNamesIt) {
  write_file(folder_ / "plain", "x");
  try {
    make_folder(folder_ / "plain" / "below");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kResources);
    EXPECT_THAT(error.what(), HasSubstr("below"));
  }
}

TEST(Interrupt, StopsTheNextStep) {
  request_interrupt();
  EXPECT_THROW(check_interrupt(), Error);
  clear_interrupt();
  EXPECT_NO_THROW(check_interrupt());
}

class ProgressLine : public testing::Test {
 protected:
  ProgressLine() {
    Progress::show_on([this](const std::string& line) { lines_.push_back(line); });
  }
  ~ProgressLine() override { Progress::show_on({}); }
  std::vector<std::string> lines_;
};

TEST_F(ProgressLine, TellsWhatIsDoneAndTheTimeThatIsLeft) {
  Progress progress("hashing", 4);
  progress.advance();
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_THAT(lines_[0], testing::MatchesRegex("hashing  25 %, .:.. left"));
}

TEST_F(ProgressLine, OfAPartNamesTheWholeAndCountsItsShareWhereItIsExpected) {
  Progress all("Analysing", 3, StepKind::kUnlike);
  all.advance();
  Progress text("text", 10);
  text.expect(5);
  Progress layers("layers", 2);
  layers.advance();
  ASSERT_EQ(lines_.size(), 2U);
  EXPECT_THAT(lines_[1], testing::MatchesRegex("Analysing 2 of 3 · text  25 %, .:.. left · layers  50 %"));
}

TEST_F(ProgressLine, WhereNothingIsDoneYetTheTimeIsThePartsOwn) {
  Progress text("text", 10);
  Progress layers("layers", 2);
  layers.advance();
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_THAT(lines_[0], testing::MatchesRegex("text  0 % · layers  50 %, .:.. left"));
}

TEST_F(ProgressLine, StepsOfAnEarlierRunSayNothingOfTheTime) {
  Progress progress("layers", 1000);
  progress.skip(900);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  progress.advance();
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_THAT(lines_[0], testing::StartsWith("layers  90 %, "));
  EXPECT_THAT(lines_[0], testing::Not(HasSubstr("0:00"))) << "99 steps of 30 ms";
}

TEST_F(ProgressLine, IsQuietInsideAParallelLoop) {
  const int threads = thread_count();
  set_thread_count(2);
  Progress progress("outside", 2);
  parallel_for(2, [](Index) {
    Progress inside("inside", 1);
    inside.advance();
  });
  set_thread_count(threads);
  progress.advance();
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_THAT(lines_[0], testing::StartsWith("outside"));
}

TEST(Sha256, AgreesWithTheStandardsExample) {
  Sha256 hash;
  hash.update("ab");
  hash.update("c");
  EXPECT_EQ(hash.hex_digest(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace defectoscope
