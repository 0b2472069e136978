#include "base/error.h"

namespace defectoscope {
namespace {

std::string join(const ErrorParts& parts) {
  std::string message = parts.what;
  const auto add = [&](const char* label, const std::string& value) {
    if (!value.empty()) message += std::string("\n  ") + label + ": " + value;
  };
  add("file", parts.file);
  add("tensor", parts.tensor);
  add("expected", parts.expected);
  add("got", parts.got);
  add("try", parts.hint);
  return message;
}

}  // namespace

Error::Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}

Error::Error(ErrorKind kind, const ErrorParts& parts) : Error(kind, join(parts)) {}

void throw_bad_input(const ErrorParts& parts) { throw Error(ErrorKind::kBadInput, parts); }

}  // namespace defectoscope
