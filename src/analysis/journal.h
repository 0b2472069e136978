#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace defectoscope {

/// Finished parts of a long piece of work, kept in a folder so that the same command goes on where it was
/// stopped; without a folder they are kept in memory for as long as the object lives.
///
/// A record is bytes under a name. On disk each is one file, written atomically, that opens with the key
/// (everything the result depends on) and ends with a checksum: a record of another key, cut short or altered
/// is not there, and said so in complaints().
class ScanJournal {
 public:
  ScanJournal() = default;
  /// Uses (and makes, when the first record comes) `folder`.
  explicit ScanJournal(std::filesystem::path folder);

  /// Must come before put and get; a digest of model, options and program version.
  void set_key(std::string_view key);
  /// Throws Error(kResources) where the folder cannot be written.
  void put(const std::string& name, std::string_view bytes);
  std::optional<std::string> get(const std::string& name);
  /// True where the last run left something under this key.
  bool resumed() const { return resumed_; }
  /// One sentence for each record that could not be used.
  const std::vector<std::string>& complaints() const { return complaints_; }
  /// Removes all records, and the folder: the results are written, nothing is left to resume.
  void clear();

 private:
  std::filesystem::path file_of(const std::string& name) const;
  std::filesystem::path folder_;
  std::string key_;
  std::map<std::string, std::string> memory_;
  std::vector<std::string> complaints_;
  bool resumed_ = false;
};

/// Plain values into a record's bytes and back, in the machine's byte order; records do not travel.
class RecordWriter {
 public:
  template <typename T>
  void value(const T& item) {
    bytes_.append(reinterpret_cast<const char*>(&item), sizeof(T));
  }
  template <typename T>
  void list(const std::vector<T>& items) {
    value(items.size());
    bytes_.append(reinterpret_cast<const char*>(items.data()), items.size() * sizeof(T));
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// Reads what RecordWriter wrote, in the same order; throws std::out_of_range past the end.
class RecordReader {
 public:
  explicit RecordReader(std::string_view bytes) : bytes_(bytes) {}
  template <typename T>
  T value() {
    T item;
    take(&item, sizeof(T));
    return item;
  }
  template <typename T>
  std::vector<T> list() {
    const auto count = value<std::size_t>();
    check(count, sizeof(T));
    std::vector<T> items(count);
    take(items.data(), count * sizeof(T));
    return items;
  }

 private:
  void check(std::size_t count, std::size_t size) const;
  void take(void* out, std::size_t size);
  std::string_view bytes_;
};

}  // namespace defectoscope
