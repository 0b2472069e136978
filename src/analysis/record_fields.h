#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "analysis/journal.h"

namespace defectoscope {

// A struct that names its members once, in a function `each(value, field)` that calls `field(member)` for
// each, goes into a journal record with record_of and comes back with value_of, to the last bit.

/// Writes a member of a result struct.
struct WriteField {
  RecordWriter& record;
  template <typename T>
  void operator()(const std::vector<T>& list) const {
    if constexpr (std::is_trivially_copyable_v<T>) {
      record.list(list);
    } else {
      record.value(list.size());
      for (const T& item : list) (*this)(item);
    }
  }
  void operator()(const std::string& text) const { record.list(std::vector<char>(text.begin(), text.end())); }
  template <typename T>
  void operator()(const std::optional<T>& value) const {
    record.value(value.has_value());
    record.value(value.value_or(T{}));
  }
  template <typename T>
    requires std::is_arithmetic_v<T>
  void operator()(const T& value) const {
    record.value(value);
  }
};

/// Reads it back, where it was written.
struct ReadField {
  RecordReader& record;
  template <typename T>
  void operator()(std::vector<T>& list) const {
    if constexpr (std::is_trivially_copyable_v<T>) {
      list = record.list<T>();
    } else {
      list.clear();
      for (auto count = record.value<std::size_t>(); count > 0; --count) (*this)(list.emplace_back());
    }
  }
  void operator()(std::string& text) const {
    const std::vector<char> letters = record.list<char>();
    text.assign(letters.begin(), letters.end());
  }
  template <typename T>
  void operator()(std::optional<T>& value) const {
    const bool has = record.value<bool>();
    const T inner = record.value<T>();
    value = has ? std::optional<T>(inner) : std::nullopt;
  }
  template <typename T>
    requires std::is_arithmetic_v<T>
  void operator()(T& value) const {
    value = record.value<T>();
  }
};

template <typename T, typename Each>
std::string record_of(const T& value, const Each& each) {
  RecordWriter record;
  each(value, WriteField{record});
  return record.bytes();
}

/// Throws std::out_of_range on a record that is too short.
template <typename T, typename Each>
T value_of(const std::string& bytes, const Each& each) {
  RecordReader record(bytes);
  T value;
  each(value, ReadField{record});
  return value;
}

/// A finished part of the work: from the journal where an earlier run left it, else made now and left there.
template <typename T, typename Each, typename Make>
T kept_or_made(ScanJournal& journal, const std::string& name, const Each& each, const Make& make) {
  if (const auto kept = journal.get(name)) return value_of<T>(*kept, each);
  const T value = make();
  journal.put(name, record_of(value, each));
  return value;
}

}  // namespace defectoscope
