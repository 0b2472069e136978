#include "registry/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "lineage/synthetic_signatures.h"
#include "registry/registry.h"
#include "registry/schema.h"
#include "registry/test_places.h"

namespace defectoscope {
namespace {

using namespace testing_registry;
using namespace synthetic;
using testing::HasSubstr;
using testing_files::TemporaryFolder;

class DatabaseOn : public OnBothDatabases {};
DEFECTOSCOPE_ON_BOTH_DATABASES(DatabaseOn);

std::vector<std::string> texts(Database& database, const std::string& sql) {
  std::vector<std::string> found;
  Transaction transaction(database, Access::kRead);
  database.query(sql, {}, [&](const Row& row) { found.push_back(row.text(0)); });
  return found;
}

TEST_P(DatabaseOn, BoundValuesComeBackAsTheyWere) {
  const auto database = open_database(place(), Access::kWrite, 1);
  const std::string text = "x'); DROP TABLE t; -- \" ü $1";
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  Transaction transaction(*database, Access::kWrite);
  database->execute("CREATE TABLE t (n BIGINT, s TEXT, b BYTEA, missing TEXT)");
  EXPECT_EQ(database->execute("INSERT INTO t (b, n, s, missing) VALUES ($3, $1, $2, $4)",
                              {Index{-5'000'000'000}, text, Bytes{bytes}, std::monostate()}),
            1);
  int rows = 0;
  database->query("SELECT n, s, b FROM t WHERE missing IS NULL AND s = $1", {text}, [&](const Row& row) {
    ++rows;
    EXPECT_EQ(row.integer(0), -5'000'000'000);
    EXPECT_EQ(row.text(1), text);
    EXPECT_EQ(row.bytes(2), bytes);
  });
  EXPECT_EQ(rows, 1);
  EXPECT_TRUE(database->has_table("t"));
  EXPECT_FALSE(database->has_table("u"));
}

TEST_P(DatabaseOn, WhatIsNotCommittedIsNotThere) {
  const auto database = open_database(place(), Access::kWrite, 1);
  {
    Transaction transaction(*database, Access::kWrite);
    database->execute("CREATE TABLE t (s TEXT)");
    transaction.commit();
  }
  {
    Transaction transaction(*database, Access::kWrite);
    database->execute("INSERT INTO t (s) VALUES ($1)", {std::string("lost")});
  }
  EXPECT_THAT(texts(*database, "SELECT s FROM t"), testing::IsEmpty());
}

TEST_P(DatabaseOn, ASecondWriterWaitsAndIsThenRefused) {
  const auto first = open_database(place(), Access::kWrite, 1),
             second = open_database(place(), Access::kWrite, 0);
  Transaction transaction(*first, Access::kWrite);
  EXPECT_THAT(message_of(ErrorKind::kResources, [&] { Transaction other(*second, Access::kWrite); }),
              testing::AllOf(HasSubstr("locked by another writer"), HasSubstr("--wait")));
  transaction.commit();
  Transaction other(*second, Access::kWrite);  // the refused one can go on
  other.commit();
}

TEST_P(DatabaseOn, AReaderSeesTheStateOfOneMomentWhileAnotherWrites) {
  const auto writer = open_database(place(), Access::kWrite, 1),
             reader = open_database(place(), Access::kWrite, 1);
  {
    Transaction transaction(*writer, Access::kWrite);
    writer->execute("CREATE TABLE t (s TEXT)");
    transaction.commit();
  }
  const auto count = [&] {
    Index n = 0;
    reader->query("SELECT COUNT(*) FROM t", {}, [&](const Row& row) { n = row.integer(0); });
    return n;
  };
  {
    Transaction reading(*reader, Access::kRead);
    EXPECT_EQ(count(), 0);
    Transaction writing(*writer, Access::kWrite);
    writer->execute("INSERT INTO t (s) VALUES ($1)", {std::string("new")});
    EXPECT_EQ(count(), 0);
    writing.commit();
    EXPECT_EQ(count(), 0);
  }
  Transaction reading(*reader, Access::kRead);
  EXPECT_EQ(count(), 1);
}

const std::vector<Migration> kTwoSteps{
    {"one table", [](Database& d) { d.execute("CREATE TABLE t (s TEXT)"); }},
    {"a column more", [](Database& d) { d.execute("ALTER TABLE t ADD COLUMN more TEXT DEFAULT 'new'"); }}};

TEST_P(DatabaseOn, MigrationsKeepWhatIsThereAndRunOnce) {
  const auto database = open_database(place(), Access::kWrite, 1);
  migrate(*database, std::span(kTwoSteps).first(1));
  {
    Transaction transaction(*database, Access::kWrite);
    database->execute("INSERT INTO t (s) VALUES ('old')");
    transaction.commit();
  }
  migrate(*database, kTwoSteps);
  migrate(*database, kTwoSteps);
  EXPECT_THAT(texts(*database, "SELECT s || more FROM t"), testing::ElementsAre("oldnew"));
  Transaction look(*database, Access::kRead);
  EXPECT_EQ(schema_version(*database, 2), 2);
}

TEST_P(DatabaseOn, AMigrationThatFailsLeavesTheDatabaseAsItWas) {
  const auto database = open_database(place(), Access::kWrite, 1);
  migrate(*database, std::span(kTwoSteps).first(1));
  std::vector<Migration> broken = kTwoSteps;
  broken.push_back({"broken", [](Database& d) { d.execute("CREATE TABLE t (twice TEXT)"); }});
  EXPECT_THROW(migrate(*database, broken), Error);
  EXPECT_EQ(texts(*database, "SELECT what FROM defectoscope_schema ORDER BY version"),
            std::vector<std::string>{"one table"});
  EXPECT_THROW(texts(*database, "SELECT more FROM t"), Error);
}

TEST_P(DatabaseOn, ANewerSchemaIsRefusedForReadingAndForWriting) {
  Registry::open(place(), Access::kWrite);
  const auto database = open_database(place(), Access::kWrite, 1);
  {
    Transaction transaction(*database, Access::kWrite);
    database->execute("INSERT INTO defectoscope_schema (version, what) VALUES (99, 'of the future')");
    transaction.commit();
  }
  for (const Access access : {Access::kRead, Access::kWrite})
    EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { Registry::open(place(), access); }),
                testing::AllOf(HasSubstr("newer schema"), HasSubstr("99"), HasSubstr("update defectoscope")));
}

TEST_P(DatabaseOn, ADatabaseWithoutTablesIsNoRegistryToReadYet) {
  open_database(place(), Access::kWrite, 1);
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { Registry::open(place(), Access::kRead); }),
              HasSubstr("no registry"));
}

TEST(SqliteFile, ThatIsMissingIsNotMadeByReading) {
  const TemporaryFolder folder;
  const std::string path = folder / "none/registry.db";
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { Registry::open(path, Access::kRead); }),
              testing::AllOf(HasSubstr(path), HasSubstr("registry add")));
  EXPECT_FALSE(std::filesystem::exists(folder / "none"));
  Registry::open(path, Access::kWrite);
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(SqliteFile, OfAnotherKindIsRefusedAndLeftAlone) {
  const TemporaryFolder folder;
  const std::string text(5000, 'x'), path = folder / "notes.txt";
  write_file(path, text);
  for (const Access access : {Access::kRead, Access::kWrite})
    EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { Registry::open(path, access); }),
                testing::AllOf(HasSubstr("notes.txt"), HasSubstr("no registry")));
  EXPECT_EQ(read_file(path), text);

  const std::string other = folder / "other.db";
  {
    const auto database = open_database(other, Access::kWrite, 1);
    database->execute("CREATE TABLE contacts (name TEXT)");
  }
  for (const Access access : {Access::kRead, Access::kWrite})
    EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { Registry::open(other, access); }),
                HasSubstr("a database of something else"));
}

TEST(SqliteFile, ThatIsCutShortIsCalledDamaged) {
  const TemporaryFolder folder;
  const std::string path = folder / "registry.db";
  {
    Registry registry = Registry::open(path, Access::kWrite);
    registry.add({{"a", unrelated({}, 1)}}, false);
  }
  ASSERT_FALSE(std::filesystem::exists(path + "-wal"));  // all of it is in the file
  std::filesystem::resize_file(path, 3 * 16384 + 100);
  EXPECT_THAT(
      message_of(ErrorKind::kBadInput, [&] { Registry::open(path, Access::kRead).search(unrelated({}, 2)); }),
      HasSubstr("damaged"));
}

/// Exit code of `action`, which returns one, run as a user who owns nothing here.
template <typename Action>
int as_nobody(Action action) {
  const int status = in_a_child([&] {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 99;
    return action();
  });
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(SqliteFile, ThatMayOnlyBeReadIsReadAndNotWritten) {
  const TemporaryFolder folder;
  const std::string path = folder / "registry.db";
  Registry::open(path, Access::kWrite).add({{"a", unrelated({}, 1)}}, false);
  namespace fs = std::filesystem;
  fs::permissions(path, fs::perms(0444));
  fs::permissions(folder.path(), fs::perms(0555));
  EXPECT_EQ(as_nobody([&] {
              Registry registry = Registry::open(path, Access::kRead);
              return registry.list().size() == 1 && registry.search(unrelated({}, 1)).found.size() == 1 ? 0
                                                                                                        : 97;
            }),
            0);
  const auto write = [](const std::string& where) {
    Registry::open(where, Access::kWrite).add({{"b", unrelated({}, 2)}}, false);
    return 0;
  };
  EXPECT_EQ(as_nobody([&] { return write(path); }), 4);
  EXPECT_EQ(as_nobody([&] { return write(folder / "new.db"); }), 4);
  fs::permissions(folder.path(), fs::perms(0755));
}

TEST_P(DatabaseOn, AUserWithTheRightToReadReadsAndDoesNotWrite) {
  if (GetParam() == Kind::kSqlite) return;  // a file: ThatMayOnlyBeReadIsReadAndNotWritten
  Registry::open(place(), Access::kWrite).add({{"a", unrelated({}, 1)}}, false);
  const std::string schema = place().substr(place().find("%3D") + 3);
  {
    const auto owner = open_database(place(), Access::kWrite, 1);
    Transaction transaction(*owner, Access::kWrite);
    owner->execute("CREATE ROLE reader LOGIN");
    owner->execute("GRANT USAGE ON SCHEMA " + schema + " TO reader");
    owner->execute("GRANT SELECT ON ALL TABLES IN SCHEMA " + schema + " TO reader");
    transaction.commit();
  }
  std::string as_reader = place();
  as_reader.replace(as_reader.find("user=tester"), 11, "user=reader");
  EXPECT_EQ(Registry::open(as_reader, Access::kRead).search(unrelated({}, 1)).found.at(0).name, "a");
  Registry registry = Registry::open(as_reader, Access::kWrite);
  EXPECT_THAT(message_of(ErrorKind::kResources, [&] { registry.add({{"b", unrelated({}, 2)}}, false); }),
              HasSubstr("may only be read"));
  EXPECT_THAT(message_of(ErrorKind::kResources, [&] { registry.remove({"a"}); }),
              HasSubstr("may only be read"));
  EXPECT_EQ(registry.list().size(), 1u);
}

TEST(WithoutPassword, HidesIt) {
  EXPECT_EQ(without_password("postgresql://me:s3cr:e@t@host/db"), "postgresql://me:***@host/db");
  EXPECT_EQ(without_password("postgresql://me@host:5432/db"), "postgresql://me@host:5432/db");
  EXPECT_EQ(without_password("postgresql:///db?user=me&password=s3cret&host=x"),
            "postgresql:///db?user=me&password=***&host=x");
}

TEST(UnreachableServer, IsNamedWithoutItsPassword) {
  const std::string message = message_of(ErrorKind::kResources, [] {
    Registry::open("postgresql://me:s3cret@/db?host=/nowhere/at/all", Access::kRead);
  });
  EXPECT_THAT(message, testing::AllOf(HasSubstr("cannot be reached"), HasSubstr("me:***@")));
  EXPECT_THAT(message, testing::Not(HasSubstr("s3cret")));
}

TEST_P(DatabaseOn, ThatMayOnlyBeReadSaysSo) {
  if (GetParam() == Kind::kSqlite) return;  // a file: ThatMayOnlyBeReadIsReadAndNotWritten
  Registry::open(place(), Access::kWrite).add({{"a", unrelated({}, 1)}}, false);
  const std::string read_only = place() + "%20-cdefault_transaction_read_only%3Don";
  EXPECT_EQ(Registry::open(read_only, Access::kRead).list().size(), 1u);
  EXPECT_THAT(
      message_of(ErrorKind::kResources,
                 [&] { Registry::open(read_only, Access::kWrite).add({{"b", unrelated({}, 2)}}, false); }),
      HasSubstr("may only be read"));
}

}  // namespace
}  // namespace defectoscope
