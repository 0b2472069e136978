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
    record.list(list);
  }
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
    list = record.list<T>();
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

}  // namespace defectoscope
