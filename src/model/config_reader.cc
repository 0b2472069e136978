#include "model/config_reader.h"

#include <cmath>

#include "base/error.h"
#include "checkpoint/strict_json.h"

namespace defectoscope {
namespace {

/// 4096, also when it is written 4096.0.
std::optional<Index> as_integer(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    return number > (std::uint64_t{1} << 62) ? Index{1} << 62 : static_cast<Index>(number);
  }
  if (value.is_number_integer()) return value.get<Index>();
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  if (!(std::fabs(number) < 0x1p53) || number != std::floor(number)) return std::nullopt;
  return static_cast<Index>(number);
}

std::string as_text(const nlohmann::json& value) {
  return value.is_structured() ? (value.is_array() ? "a list" : "an object") : shortened(value.dump());
}

}  // namespace

void ConfigReader::fail(const std::string& what, std::string_view key, const std::string& expected,
                        const std::string& got, const std::string& hint) const {
  throw_bad_input({.what = what,
                   .file = file_,
                   .tensor = std::string(key),
                   .expected = expected,
                   .got = got,
                   .hint = hint});
}

void ConfigReader::fail_missing(Keys keys) const {
  std::string names;
  for (const std::string_view key : keys) names += (names.empty() ? "" : " or ") + std::string(key);
  fail("key missing in the model's configuration", names, "a value", "none",
       "take config.json as it was published with the weights");
}

const nlohmann::json* ConfigReader::find(std::string_view key) const {
  const nlohmann::json* at = &object_;
  for (std::size_t dot = key.find('.'); dot != key.npos; dot = key.find('.')) {
    const auto inner = at->find(key.substr(0, dot));
    if (inner == at->end() || !inner->is_object()) return nullptr;
    at = &*inner;
    key.remove_prefix(dot + 1);
  }
  const auto found = at->find(key);
  return found == at->end() || found->is_null() ? nullptr : &*found;
}

std::optional<ConfigReader::Found> ConfigReader::first_of(Keys keys) const {
  for (const std::string_view key : keys)
    if (const nlohmann::json* value = find(key)) return Found{key, value};
  return std::nullopt;
}

std::optional<Index> ConfigReader::find_integer(Keys keys, Index low, Index high) const {
  const auto found = first_of(keys);
  if (!found) return std::nullopt;
  const std::optional<Index> value = as_integer(*found->value);
  if (!value || *value < low || *value > high)
    fail("value out of range in the model's configuration", found->key,
         "an integer from " + std::to_string(low) + " to " + std::to_string(high), as_text(*found->value));
  return value;
}

Index ConfigReader::integer(Keys keys, Index low, Index high) const {
  const std::optional<Index> value = find_integer(keys, low, high);
  if (!value) fail_missing(keys);
  return *value;
}

Index ConfigReader::integer(Keys keys, Index low, Index high, Index otherwise) const {
  return find_integer(keys, low, high).value_or(otherwise);
}

std::optional<double> ConfigReader::find_positive(Keys keys) const {
  const auto found = first_of(keys);
  if (!found) return std::nullopt;
  const double value = found->value->is_number() ? found->value->get<double>() : 0;
  if (!std::isfinite(value) || value <= 0)
    fail("value out of range in the model's configuration", found->key, "a number above 0",
         as_text(*found->value));
  return value;
}

double ConfigReader::positive(Keys keys, double otherwise) const {
  return find_positive(keys).value_or(otherwise);
}

bool ConfigReader::boolean(std::string_view key, bool otherwise) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean())
    fail("wrong type in the model's configuration", key, "true or false", as_text(*value));
  return value->get<bool>();
}

std::optional<std::string> ConfigReader::find_text(Keys keys) const {
  const auto found = first_of(keys);
  if (!found) return std::nullopt;
  if (!found->value->is_string())
    fail("wrong type in the model's configuration", found->key, "a text", as_text(*found->value));
  return found->value->get<std::string>();
}

}  // namespace defectoscope
