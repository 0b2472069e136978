#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/index.h"

namespace defectoscope {

/// Typed access to one JSON object of config.json; every complaint names file and key. Keys that hold null
/// count as absent, as they do in the files' own library. "attn_config.alibi" looks into an inner object.
class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& object, const std::string& file) : object_(object), file_(file) {}

  using Keys = std::span<const std::string_view>;

  /// An integer within [low, high] under the first of `keys` that is present; nullopt where none is.
  std::optional<Index> find_integer(Keys keys, Index low, Index high) const;
  Index integer(Keys keys, Index low, Index high) const;  ///< throws where none is present
  Index integer(Keys keys, Index low, Index high, Index otherwise) const;
  /// A finite number above 0.
  std::optional<double> find_positive(Keys keys) const;
  double positive(Keys keys, double otherwise) const;
  bool boolean(std::string_view key, bool otherwise) const;
  std::optional<std::string> find_text(Keys keys) const;
  const nlohmann::json* find(std::string_view key) const;
  bool has(std::string_view key) const { return object_.contains(key); }  ///< also where it holds null
  const std::string& file() const { return file_; }

  [[noreturn]] void fail(const std::string& what, std::string_view key, const std::string& expected,
                         const std::string& got, const std::string& hint = {}) const;

 private:
  struct Found {
    std::string_view key;
    const nlohmann::json* value;
  };
  std::optional<Found> first_of(Keys keys) const;
  [[noreturn]] void fail_missing(Keys keys) const;

  const nlohmann::json& object_;
  const std::string& file_;
};

}  // namespace defectoscope
