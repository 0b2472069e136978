#include <sqlite3.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "registry/backends.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPragmas =
    "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY";

class SqliteRow : public Row {
 public:
  explicit SqliteRow(sqlite3_stmt* statement) : statement_(statement) {}
  Index integer(int column) const override { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) const override { return std::string(bytes(column)); }
  std::string_view bytes(int column) const override {
    const void* data = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return data == nullptr ? std::string_view()
                           : std::string_view(static_cast<const char*>(data), static_cast<std::size_t>(size));
  }

 private:
  sqlite3_stmt* statement_;
};

class SqliteDatabase : public Database {
 public:
  SqliteDatabase(const std::string& path, Access access, int wait_seconds) : name_(path) {
    const bool there = fs::exists(path);
    if (!there && access == Access::kRead)
      throw_bad_input({.what = "there is no such registry",
                       .file = path,
                       .hint = "defectoscope registry add MODEL makes one; --database says where"});
    if (!there && fs::path(path).has_parent_path()) make_folder(fs::path(path).parent_path());
    open(path, SQLITE_OPEN_READWRITE | (there ? 0 : SQLITE_OPEN_CREATE), wait_seconds);
    try {
      if (!there) run("PRAGMA page_size = 16384");  // blobs of half a megabyte, lines of a kilobyte
      run(kPragmas);
      if (access == Access::kWrite && sqlite3_db_readonly(database_.get(), "main") == 0)
        run("PRAGMA journal_mode = WAL");
      run("SELECT COUNT(*) FROM sqlite_master");  // a file that is no database is found out here
    } catch (const Error&) {
      // Where the folder may not be written to, there is no room for the log's index; without a log the file
      // is all there is.
      const bool unwritable = code_ == SQLITE_CANTOPEN || (code_ & 0xff) == SQLITE_READONLY;
      if (access == Access::kWrite || !unwritable || fs::exists(path + "-wal")) throw;
      open(uri_of(path) + "?immutable=1", SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, wait_seconds);
      run(kPragmas);
    }
  }

  void begin(Access access) override { run(access == Access::kWrite ? "BEGIN IMMEDIATE" : "BEGIN"); }
  void commit() override { run("COMMIT"); }
  void rollback() noexcept override {
    if (sqlite3_get_autocommit(database_.get()) == 0)
      sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }

  Index execute(const std::string& sql, const std::vector<Value>& values) override {
    query(sql, values, [](const Row&) {});
    return sqlite3_changes64(database_.get());
  }

  void query(const std::string& sql, const std::vector<Value>& values,
             const std::function<void(const Row&)>& each) override {
    sqlite3_stmt* raw = nullptr;
    check(sqlite3_prepare_v2(database_.get(), sql.c_str(), static_cast<int>(sql.size()), &raw, nullptr));
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, sqlite3_finalize);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::string parameter = "$" + std::to_string(i + 1);
      bind(raw, sqlite3_bind_parameter_index(raw, parameter.c_str()), values[i]);
    }
    const SqliteRow row(raw);
    int code = sqlite3_step(raw);
    for (; code == SQLITE_ROW; code = sqlite3_step(raw)) each(row);
    check(code == SQLITE_DONE ? SQLITE_OK : code);
  }

  bool has_table(const std::string& table) override {
    bool found = false;
    query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1", {table},
          [&](const Row&) { found = true; });
    return found;
  }
  bool is_empty() override {
    bool empty = true;
    query("SELECT 1 FROM sqlite_master LIMIT 1", {}, [&](const Row&) { empty = false; });
    return empty;
  }
  const std::string& name() const override { return name_; }

 private:
  /// A path as SQLite's URIs take it.
  static std::string uri_of(const std::string& path) {
    std::string uri = "file:";
    for (const char c : path) {
      if (c == '%' || c == '?' || c == '#')
        uri += c == '%' ? "%25" : c == '?' ? "%3f" : "%23";
      else
        uri += c;
    }
    return uri;
  }

  void open(const std::string& path, int flags, int wait_seconds) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
    database_.reset(raw);
    check(code);
    sqlite3_extended_result_codes(raw, 1);
    sqlite3_busy_timeout(raw, 1000 * wait_seconds);
  }

  void run(const char* sql) { check(sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr)); }

  void bind(sqlite3_stmt* statement, int place, const Value& value) {
    int code = SQLITE_OK;
    if (const auto* integer = std::get_if<Index>(&value))
      code = sqlite3_bind_int64(statement, place, *integer);
    else if (const auto* text = std::get_if<std::string>(&value))
      code = sqlite3_bind_text64(statement, place, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
    else if (const auto* bytes = std::get_if<Bytes>(&value))
      code = sqlite3_bind_blob64(statement, place, bytes->data.data(), bytes->data.size(), SQLITE_STATIC);
    else
      code = sqlite3_bind_null(statement, place);
    check(code);
  }

  void check(int code) {
    if (code == SQLITE_OK) return;
    code_ = code;
    const std::string said = database_ ? sqlite3_errmsg(database_.get()) : sqlite3_errstr(code);
    ErrorParts parts{.what = "the registry cannot be used", .file = name_, .got = said};
    ErrorKind kind = ErrorKind::kResources;
    switch (code & 0xff) {
      case SQLITE_NOTADB:
        kind = ErrorKind::kBadInput;
        parts = {.what = "no registry", .file = name_, .expected = "an SQLite database", .got = said};
        break;
      case SQLITE_CORRUPT:
        kind = ErrorKind::kBadInput;
        parts = {.what = "the registry's file is damaged",
                 .file = name_,
                 .got = said,
                 .hint = "sqlite3 FILE .recover saves what can be saved"};
        break;
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
        parts = {.what = "the registry is locked by another writer",
                 .file = name_,
                 .got = said,
                 .hint = "again when it is done; --wait says how long to wait for it"};
        break;
      case SQLITE_READONLY:
      case SQLITE_PERM:
        parts = {.what = "the registry may only be read",
                 .file = name_,
                 .got = said,
                 .hint = "write permission for the file and its folder, or another --database"};
        break;
      case SQLITE_FULL:
        parts.what = "no space left for the registry";
        break;
      default:
        break;
    }
    throw Error(kind, parts);
  }

  std::string name_;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> database_{nullptr, sqlite3_close};
  int code_ = SQLITE_OK;  ///< of the last error
};

}  // namespace

std::unique_ptr<Database> open_sqlite(const std::string& path, Access access, int wait_seconds) {
  return std::make_unique<SqliteDatabase>(path, access, wait_seconds);
}

}  // namespace defectoscope
