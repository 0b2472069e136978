#include "registry/test_postgresql.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "registry/database.h"

namespace defectoscope::testing_registry {
namespace {

namespace fs = std::filesystem;

/// The newest installed server's.
std::optional<fs::path> server_programs() {
  std::optional<fs::path> newest;
  std::error_code none;
  for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", none)) {
    const fs::path programs = version.path() / "bin";
    if (fs::exists(programs / "initdb") && fs::exists(programs / "postgres") &&
        (!newest || *newest < programs))
      newest = programs;
  }
  return newest;
}

/// Whom the server runs as.
const passwd* server_user() {
  const passwd* user = getpwnam("postgres");
  return user != nullptr ? user : getpwnam("nobody");
}

}  // namespace

PostgresServer* PostgresServer::shared() {
  // Small and quick to start; what a test loses in a crash it means to lose.
  static const std::unique_ptr<PostgresServer> server =
      with_settings({"fsync=off", "shared_buffers=16MB", "max_connections=20", "autovacuum=off"});
  return server.get();
}

std::unique_ptr<PostgresServer> PostgresServer::with_settings(std::vector<std::string> settings) {
  const auto programs = server_programs();
  return std::unique_ptr<PostgresServer>(programs ? new PostgresServer(*programs, std::move(settings))
                                                  : nullptr);
}

PostgresServer::PostgresServer(fs::path programs, std::vector<std::string> settings)
    : programs_(std::move(programs)), settings_(std::move(settings)) {
  std::string name = (fs::temp_directory_path() / "defectoscope-pg-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = name;
  if (geteuid() == 0 && chown(name.c_str(), server_user()->pw_uid, server_user()->pw_gid) != 0)
    throw std::runtime_error("the temporary folder cannot be given away");
  const pid_t init =
      launch({"initdb", "--pgdata", folder_ / "data", "--auth", "trust", "--username", "tester", "--encoding",
              "UTF8", "--locale", "C", "--no-sync", "--no-instructions"});
  int status = 0;
  waitpid(init, &status, 0);
  if (status != 0) throw std::runtime_error("initdb failed: " + read_file(folder_ / "log"));
  start();
}

PostgresServer::~PostgresServer() {
  end(SIGINT);
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

pid_t PostgresServer::launch(const std::vector<std::string>& command) const {
  const std::string program = programs_ / command.front();
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::string log = folder_ / "log";
  const passwd* user = server_user();
  const pid_t parent = getpid(), child = fork();
  if (child != 0) return child;
  if (geteuid() == 0 &&
      (setgroups(0, nullptr) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
    _exit(97);
  prctl(PR_SET_PDEATHSIG, SIGQUIT);  // no server outlives its test
  if (getppid() != parent || chdir(folder_.c_str()) != 0) _exit(97);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  execv(program.c_str(), argv.data());
  _exit(98);
}

std::string PostgresServer::uri() const {
  return "postgresql:///postgres?user=tester&host=" + folder_.string();
}

void PostgresServer::start() {
  std::vector<std::string> command{"postgres", "-D", folder_ / "data",   "-k",
                                   folder_,    "-c", "listen_addresses="};
  for (const std::string& setting : settings_) command.insert(command.end(), {"-c", setting});
  server_ = launch(command);
  for (int tries = 0;; ++tries) {
    try {
      open_database(uri(), Access::kRead, 1);
      return;
    } catch (const Error&) {
      if (tries > 1000 || waitpid(server_, nullptr, WNOHANG) != 0)
        throw std::runtime_error("the server does not start: " + read_file(folder_ / "log"));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
}

void PostgresServer::end(int signal) {
  if (server_ <= 0) return;
  kill(server_, signal);
  waitpid(server_, nullptr, 0);
  server_ = -1;
}

void PostgresServer::crash() { end(SIGQUIT); }

std::string PostgresServer::new_place() {
  const std::string schema = "place" + std::to_string(++places_);
  const auto database = open_database(uri(), Access::kWrite, 5);
  Transaction transaction(*database, Access::kWrite);
  database->execute("CREATE SCHEMA " + schema);
  transaction.commit();
  return uri() + "&options=-csearch_path%3D" + schema;
}

}  // namespace defectoscope::testing_registry
