#include "analysis/journal.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"

namespace defectoscope {
namespace {

class Journal : public testing::Test {
 protected:
  Journal() {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("journal-" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
  }
  ~Journal() override { std::filesystem::remove_all(folder_); }
  ScanJournal open(std::string_view key) const {
    ScanJournal journal(folder_);
    journal.set_key(key);
    return journal;
  }
  std::filesystem::path folder_;
};

TEST_F(Journal, GivesBackWhatAnEarlierRunPut) {
  open("a").put("layer-3", std::string("one\0two", 7));
  ScanJournal later = open("a");
  EXPECT_EQ(later.get("layer-3"), std::string("one\0two", 7));
  EXPECT_TRUE(later.resumed());
  EXPECT_EQ(later.get("layer-4"), std::nullopt);
}

TEST_F(Journal, OfOtherOptionsIsNotUsed) {
  open("a").put("layer-3", "x");
  ScanJournal other = open("b");
  EXPECT_EQ(other.get("layer-3"), std::nullopt);
  EXPECT_FALSE(other.resumed());
  EXPECT_TRUE(other.complaints().empty());
}

TEST_F(Journal, DamagedOrCutIsIgnoredWithANote) {
  open("a").put("layer-3", "some numbers");
  const auto file = folder_ / "layer-3.record";
  const std::string whole = read_file(file);
  for (const std::string& text :
       {whole.substr(0, whole.size() - 1), std::string("x") + whole, std::string(),
        whole.substr(0, whole.size() - 70) + "X" + whole.substr(whole.size() - 69)}) {
    write_file(file, text);
    ScanJournal journal = open("a");
    EXPECT_EQ(journal.get("layer-3"), std::nullopt);
    EXPECT_EQ(journal.complaints().size(), 1U);
  }
}

TEST_F(Journal, ClearedLeavesNothingOfItsOwn) {
  ScanJournal journal = open("a");
  journal.put("layer-3", "x");
  journal.clear();
  EXPECT_FALSE(std::filesystem::exists(folder_));
  make_folder(folder_);
  write_file(folder_ / "notes.txt", "mine");
  journal.put("layer-3", "x");
  journal.clear();
  EXPECT_TRUE(std::filesystem::exists(folder_ / "notes.txt"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "layer-3.record"));
}

TEST_F(Journal, WithoutAFolderKeepsRecordsInMemory) {
  ScanJournal journal;
  journal.set_key("a");
  journal.put("x", "1");
  EXPECT_EQ(journal.get("x"), "1");
  journal.set_key("b");
  EXPECT_EQ(journal.get("x"), std::nullopt);
}

TEST(Record, ReadsBackWhatWasWrittenAndNotBeyond) {
  RecordWriter writer;
  writer.value(3.5);
  writer.list(std::vector<float>{1, 2, 3});
  RecordReader reader(writer.bytes());
  EXPECT_EQ(reader.value<double>(), 3.5);
  EXPECT_EQ(reader.list<float>(), (std::vector<float>{1, 2, 3}));
  EXPECT_THROW(reader.value<char>(), std::out_of_range);
}

}  // namespace
}  // namespace defectoscope
