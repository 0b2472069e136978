#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "analysis/journal.h"

namespace defectoscope {

// A struct that names its members once, in a function that calls `field(member)` for each, goes into a
// journal record with WriteField and comes back with ReadField.

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

}  // namespace defectoscope
