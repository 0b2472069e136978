#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace defectoscope::testing_registry {

/// A PostgreSQL server of Debian's package in a temporary folder, reached through a socket in it; as another
/// user where this process is root, whom the server refuses. Ends with this process, however that ends.
class PostgresServer {
 public:
  /// The one of this process, started at the first call; null where the server's programs are not installed.
  static PostgresServer* shared();
  /// Another one, with these settings ("name=value") beside those of the package; null likewise.
  static std::unique_ptr<PostgresServer> with_settings(std::vector<std::string> settings);
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  /// A schema of its own, for one test.
  std::string new_place();
  /// The server dies at once, as if by kill -9; what was not committed is lost.
  void crash();
  void start();

 private:
  PostgresServer(std::filesystem::path programs, std::vector<std::string> settings);
  pid_t launch(const std::vector<std::string>& command) const;
  std::string uri() const;
  void end(int signal);
  std::filesystem::path programs_, folder_;
  std::vector<std::string> settings_;
  pid_t server_ = -1;
  int places_ = 0;
};

}  // namespace defectoscope::testing_registry
