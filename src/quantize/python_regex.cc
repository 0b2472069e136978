#define PCRE2_CODE_UNIT_WIDTH 8
#include "quantize/python_regex.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <array>

#include "base/error.h"

namespace defectoscope {
namespace {

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

struct PythonRegex::Code {
  pcre2_code* compiled = nullptr;
  pcre2_match_data* groups = nullptr;
  ~Code() {
    pcre2_match_data_free(groups);
    pcre2_code_free(compiled);
  }
};

PythonRegex::PythonRegex(std::string_view pattern) : code_(std::make_unique<Code>()) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->compiled = pcre2_compile(units(pattern), pattern.size(), 0, &error, &offset, nullptr);
  if (code_->compiled == nullptr)
    throw_bad_input({.what = "a recipe's pattern is not a regular expression",
                     .expected = "a pattern of Python's re module",
                     .got = fmt::format("'{}': {} at character {}", pattern, message_of(error), offset)});
  code_->groups = pcre2_match_data_create_from_pattern(code_->compiled, nullptr);
}

PythonRegex::~PythonRegex() = default;

bool PythonRegex::run(std::string_view text, unsigned options) const {
  return pcre2_match(code_->compiled, units(text), text.size(), 0, options, code_->groups, nullptr) > 0;
}

bool PythonRegex::match(std::string_view text) const { return run(text, PCRE2_ANCHORED); }

bool PythonRegex::fullmatch(std::string_view text) const {
  return run(text, PCRE2_ANCHORED | PCRE2_ENDANCHORED);
}

}  // namespace defectoscope
