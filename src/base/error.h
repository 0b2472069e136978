#pragma once

#include <stdexcept>
#include <string>

namespace defectoscope {

/// What went wrong, and with it the program's exit code (documented in --help and README).
enum class ErrorKind : int {
  kUsage = 2,         ///< wrong options or arguments
  kBadInput = 3,      ///< a file, tensor or text is not what it must be
  kResources = 4,     ///< disk, memory, permissions
  kInterrupted = 130  ///< SIGINT or SIGTERM
};

/// The parts of a message about bad input; empty parts are left out.
struct ErrorParts {
  std::string what = {};      ///< what was wrong, one clause
  std::string file = {};      ///< path as the user gave it
  std::string tensor = {};    ///< tensor name, config key or line
  std::string expected = {};  ///< what should have been there
  std::string got = {};       ///< what was there
  std::string hint = {};      ///< what to do about it
};

/// Thrown on everything a user or a file can get wrong; our own mistakes are asserts.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message);
  Error(ErrorKind kind, const ErrorParts& parts);

  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

/// Shorthand for the commonest: Error(kBadInput, parts).
[[noreturn]] void throw_bad_input(const ErrorParts& parts);

}  // namespace defectoscope
