#include <optional>
#include <pqxx/pqxx>

#include "base/error.h"
#include "registry/backends.h"

namespace defectoscope {
namespace {

/// Writers of one database wait for each other at this lock.
constexpr Index kWriterLock = 0x6465666563746f73;

using Parameters = std::vector<std::optional<std::string>>;

/// libpq's text form, in which the server reads a parameter as the column's type.
std::optional<std::string> in_text(const Value& value) {
  if (const auto* integer = std::get_if<Index>(&value)) return std::to_string(*integer);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* bytes = std::get_if<Bytes>(&value)) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string hex = "\\x";
    hex.reserve(2 + 2 * bytes->data.size());
    for (const char c : bytes->data) {
      const auto byte = static_cast<unsigned char>(c);
      hex += kDigits[byte >> 4];
      hex += kDigits[byte & 15];
    }
    return hex;
  }
  return std::nullopt;
}

/// Of a binary answer: integers in the network's order of bytes, text and bytes as they are.
class PostgresRow : public Row {
 public:
  explicit PostgresRow(const pqxx::row& row) : row_(row) {}
  Index integer(int column) const override {
    const std::string_view value = bytes(column);
    std::uint64_t number = !value.empty() && static_cast<signed char>(value[0]) < 0 ? ~std::uint64_t{0} : 0;
    for (const char c : value) number = number << 8 | static_cast<unsigned char>(c);
    return static_cast<Index>(number);
  }
  std::string text(int column) const override { return std::string(bytes(column)); }
  std::string_view bytes(int column) const override {
    const pqxx::field field = row_[column];
    return {field.c_str(), field.size()};
  }

 private:
  const pqxx::row& row_;
};

class PostgresDatabase : public Database {
 public:
  PostgresDatabase(const std::string& uri, int wait_seconds) : name_(without_password(uri)) {
    guarded([&] {
      connection_ = std::make_unique<pqxx::connection>(uri);
      quiet_ = std::make_unique<pqxx::quiet_errorhandler>(*connection_);
      connection_->set_variable("lock_timeout", std::to_string(1000 * wait_seconds + 1));
    });
  }
  ~PostgresDatabase() override { rollback(); }

  void begin(Access access) override {
    try {
      open_transaction(access);
    } catch (const Error&) {
      transaction_.reset();
      throw;
    }
  }
  void commit() override {
    confirming_ = true;
    guarded([&] { transaction_->commit(); });
    transaction_.reset();
  }
  void rollback() noexcept override { transaction_.reset(); }

  Index execute(const std::string& sql, const std::vector<Value>& values) override {
    return static_cast<Index>(run(sql, values).affected_rows());
  }
  void query(const std::string& sql, const std::vector<Value>& values,
             const std::function<void(const Row&)>& each) override {
    // A binary cursor: libpqxx asks for text otherwise, of which bytes need twice the room and time on both
    // sides.
    run("DECLARE answer BINARY CURSOR FOR " + sql, values);
    const pqxx::result answer = run("FETCH ALL IN answer", {});
    run("CLOSE answer", {});
    for (const pqxx::row& row : answer) each(PostgresRow(row));
  }
  bool has_table(const std::string& table) override {
    bool found = false;
    query("SELECT 1 WHERE to_regclass($1) IS NOT NULL", {table}, [&](const Row&) { found = true; });
    return found;
  }
  bool is_empty() override { return true; }  // tables of others are no hindrance on a server
  const std::string& name() const override { return name_; }

 private:
  void open_transaction(Access access) {
    confirming_ = false;
    guarded([&] {
      if (access == Access::kRead) {
        using Snapshot = pqxx::transaction<pqxx::repeatable_read, pqxx::read_only>;
        transaction_ = std::make_unique<Snapshot>(*connection_);
        return;
      }
      transaction_ = std::make_unique<pqxx::work>(*connection_);
      transaction_->exec_params("SELECT pg_advisory_xact_lock($1::bigint)", kWriterLock);
    });
  }

  pqxx::result run(const std::string& sql, const std::vector<Value>& values) {
    pqxx::result answer;
    guarded([&] {
      if (values.empty()) {
        answer = transaction_->exec(sql);
        return;
      }
      Parameters parameters;
      for (const Value& value : values) parameters.push_back(in_text(value));
      answer = transaction_->exec_params(sql, pqxx::prepare::make_dynamic_params(parameters));
    });
    return answer;
  }

  template <typename Action>
  void guarded(Action action) {
    try {
      action();
    } catch (const pqxx::in_doubt_error& error) {
      fail_in_doubt(error);
    } catch (const pqxx::broken_connection& error) {
      if (transaction_) fail_as_lost(error);
      fail("the registry's server cannot be reached", error, "--database postgresql://USER@HOST/DATABASE");
    } catch (const pqxx::insufficient_privilege& error) {  // libpqxx 6 leaves out its state
      fail_as_read_only(error);
    } catch (const pqxx::sql_error& error) {
      fail_by_state(error);
    } catch (const pqxx::failure& error) {
      fail("the registry's server refuses", error, "");
    }
  }

  [[noreturn]] void fail_in_doubt(const std::exception& error) const {
    fail("the connection was lost while a change was being confirmed: it is there whole, or not at all",
         error, "defectoscope registry list tells which; adding again does no harm");
  }

  [[noreturn]] void fail_as_read_only(const std::exception& error) const {
    fail("the registry may only be read", error, "a user with the right to write, or another --database");
  }

  [[noreturn]] void fail_as_lost(const std::exception& error) const {
    if (confirming_) fail_in_doubt(error);
    fail("the connection to the registry was lost; nothing of what was being written is there", error,
         "the same command again once the server is back");
  }

  [[noreturn]] void fail_by_state(const pqxx::sql_error& error) const {
    const std::string& state = error.sqlstate();
    // Every refusal of a server has a state; a server that closed the connection has none.
    if (state.empty() || state.starts_with("57P")) fail_as_lost(error);
    if (state == "55P03" || state == "40001" || state == "40P01")
      fail("the registry is locked by another writer", error,
           "again when it is done; --wait says how long to wait for it");
    if (state == "25006" || state == "42501") fail_as_read_only(error);
    fail("the registry cannot be used", error, "");
  }

  [[noreturn]] void fail(const std::string& what, const std::exception& error,
                         const std::string& hint) const {
    std::string said = error.what();
    while (!said.empty() && (said.back() == '\n' || said.back() == ' ')) said.pop_back();
    throw Error(ErrorKind::kResources, {.what = what, .file = name_, .got = said, .hint = hint});
  }

  std::string name_;
  bool confirming_ = false;  ///< whether a commit has begun
  std::unique_ptr<pqxx::connection> connection_;
  std::unique_ptr<pqxx::quiet_errorhandler> quiet_;
  std::unique_ptr<pqxx::transaction_base> transaction_;
};

}  // namespace

std::unique_ptr<Database> open_postgresql(const std::string& uri, int wait_seconds) {
  return std::make_unique<PostgresDatabase>(uri, wait_seconds);
}

}  // namespace defectoscope
