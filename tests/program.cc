#include "program.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/files.h"

namespace defectoscope {
namespace {

/// A temporary file's name; the file exists.
std::filesystem::path temporary_file() {
  std::string name = (std::filesystem::temp_directory_path() / "defectoscope-XXXXXX").string();
  const int file = mkstemp(name.data());
  if (file >= 0) close(file);
  return name;
}

}  // namespace

Outcome run_defectoscope(const std::vector<std::string>& arguments, const RunOptions& options) {
  const auto out = temporary_file();
  const auto err = temporary_file();
  const std::string program = DEFECTOSCOPE_BINARY_DIR "/" + options.program;
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  std::fflush(nullptr);  // else the child would say again what waits to be written
  const pid_t child = fork();
  if (child == 0) {
    if (!options.folder.empty() && chdir(options.folder.c_str()) != 0) _exit(99);
    if (freopen(out.c_str(), "w", stdout) == nullptr || freopen(err.c_str(), "w", stderr) == nullptr)
      _exit(99);
    if (options.file_limit > 0) {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{options.file_limit, options.file_limit};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    execv(program.c_str(), argv.data());
    _exit(98);
  }
  std::jthread interrupter;
  if (options.interrupt_after > 0)
    interrupter = std::jthread([child, seconds = options.interrupt_after] {
      std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
      kill(child, SIGINT);
    });
  int status = 0;
  waitpid(child, &status, 0);
  Outcome outcome;
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.out = read_file(out);
  outcome.err = read_file(err);
  std::filesystem::remove(out);
  std::filesystem::remove(err);
  return outcome;
}

}  // namespace defectoscope
