#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "checkpoint/test_files.h"
#include "registry/database.h"
#include "registry/test_postgresql.h"

namespace defectoscope::testing_registry {

enum class Kind { kSqlite, kPostgresql };

/// A place for one registry on either kind of database; the same tests run on both.
class OnBothDatabases : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kSqlite) {
      place_ = folder_ / "registry.db";
    } else if (PostgresServer* server = PostgresServer::shared()) {
      place_ = server->new_place();
    } else {
      GTEST_SKIP() << "no server programs in /usr/lib/postgresql: install postgresql (scripts/setup does it)";
    }
  }
  const std::string& place() const { return place_; }

  testing_files::TemporaryFolder folder_;
  std::string place_;
};

#define DEFECTOSCOPE_ON_BOTH_DATABASES(suite)                                     \
  INSTANTIATE_TEST_SUITE_P(SQLite, suite, testing::Values(Kind::kSqlite),         \
                           [](const auto&) { return std::string("SQLite"); });    \
  INSTANTIATE_TEST_SUITE_P(PostgreSQL, suite, testing::Values(Kind::kPostgresql), \
                           [](const auto&) { return std::string("PostgreSQL"); })

/// The message of the Error of this kind that `action` must throw.
template <typename Action>
std::string message_of(ErrorKind kind, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

/// Status of a child process that does `action` and ends with what it returns, with an Error's exit code, or
/// by a signal. It has one thread: those of OpenMP do not come with it.
template <typename Action>
int in_a_child(Action&& action) {
  const pid_t child = fork();
  if (child == 0) {
    set_thread_count(1);
    try {
      _exit(action());
    } catch (const Error& error) {
      _exit(error.exit_code());
    } catch (...) {
      _exit(98);
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

enum class Moment { kChange, kQuestion, kCommit };

/// Another database, at whose n-th statement of a kind `hook` is called first.
class Watched : public Database {
 public:
  Watched(std::unique_ptr<Database> database, Moment moment, int n, std::function<void()> hook)
      : database_(std::move(database)), moment_(moment), left_(n), hook_(std::move(hook)) {}
  void begin(Access access) override { database_->begin(access); }
  void commit() override {
    see(Moment::kCommit);
    database_->commit();
  }
  void rollback() noexcept override { database_->rollback(); }
  Index execute(const std::string& sql, const std::vector<Value>& values) override {
    see(Moment::kChange);
    return database_->execute(sql, values);
  }
  void query(const std::string& sql, const std::vector<Value>& values,
             const std::function<void(const Row&)>& each) override {
    see(Moment::kQuestion);
    database_->query(sql, values, each);
  }
  bool has_table(const std::string& table) override { return database_->has_table(table); }
  bool is_empty() override { return database_->is_empty(); }
  const std::string& name() const override { return database_->name(); }

 private:
  void see(Moment moment) {
    if (moment == moment_ && --left_ == 0) hook_();
  }
  std::unique_ptr<Database> database_;
  Moment moment_;
  int left_;
  std::function<void()> hook_;
};

}  // namespace defectoscope::testing_registry
