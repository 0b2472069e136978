#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/index.h"

namespace defectoscope {

struct Bytes {
  std::string data;
};
/// What takes the place of $1, $2, ... in a statement; monostate is NULL.
using Value = std::variant<std::monostate, Index, std::string, Bytes>;

/// One line of an answer; columns count from 0, and are read as what they are. Views hold until the next
/// line.
class Row {
 public:
  virtual ~Row() = default;
  virtual Index integer(int column) const = 0;
  virtual std::string text(int column) const = 0;
  virtual std::string_view bytes(int column) const = 0;
};

enum class Access { kRead, kWrite };

/// A connection to a database of either kind. Statements are SQL that both understand, with parameters bound
/// as $1, $2, ...; nothing that comes from outside is ever part of their text.
///
/// All throw Error: kBadInput where a file is no database or damaged, kResources where it cannot be reached,
/// read or written (permissions, disk, another writer that does not end, a server that went away). After an
/// error the transaction under way is void.
class Database {
 public:
  virtual ~Database() = default;
  /// Read: all statements see the state of one moment, whatever others write. Write: one at a time, others
  /// wait; readers do not.
  virtual void begin(Access access) = 0;
  virtual void commit() = 0;
  virtual void rollback() noexcept = 0;
  /// Returns the number of rows changed.
  virtual Index execute(const std::string& sql, const std::vector<Value>& values = {}) = 0;
  /// The answer's lines in order. May hold the whole answer: ask for large ones in pieces (LIMIT).
  virtual void query(const std::string& sql, const std::vector<Value>& values,
                     const std::function<void(const Row&)>& each) = 0;
  virtual bool has_table(const std::string& table) = 0;
  /// Whether there are tables that has_table would find, of whatever name.
  virtual bool is_empty() = 0;
  /// As the user gave it, for messages; without the password.
  virtual const std::string& name() const = 0;
};

/// Opens what `where` names: postgresql://… or postgres://… (libpq's connection URI), else an SQLite file.
/// For writing, the file and its folder are made where missing; for reading, a missing one is kBadInput.
/// `wait_seconds`: how long to wait for another writer.
std::unique_ptr<Database> open_database(const std::string& where, Access access, int wait_seconds);

/// The URI with *** for its password.
std::string without_password(const std::string& uri);

/// begin() to commit(), or rollback() where that is not reached.
class Transaction {
 public:
  Transaction(Database& database, Access access) : database_(database) { database_.begin(access); }
  ~Transaction() {
    if (!done_) database_.rollback();
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit() {
    database_.commit();
    done_ = true;
  }

 private:
  Database& database_;
  bool done_ = false;
};

}  // namespace defectoscope
