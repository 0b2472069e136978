#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace defectoscope {

/// A regular expression as Python's `re` reads it, by PCRE2: on the names of modules (ASCII, no newlines) the
/// two agree in all that recipes use, lookbehind and `$` included. One thread at a time.
class PythonRegex {
 public:
  /// Throws Error(kBadInput) with the pattern and what is wrong in it.
  explicit PythonRegex(std::string_view pattern);
  ~PythonRegex();
  PythonRegex(const PythonRegex&) = delete;
  PythonRegex& operator=(const PythonRegex&) = delete;

  /// re.match: from the start of `text`, to anywhere.
  bool match(std::string_view text) const;
  /// re.fullmatch: all of `text`.
  bool fullmatch(std::string_view text) const;

 private:
  struct Code;
  bool run(std::string_view text, unsigned options) const;
  std::unique_ptr<Code> code_;
};

}  // namespace defectoscope
