#include "report/gnuplot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "report/font_coverage.h"

namespace defectoscope {
namespace {

constexpr const char* kFormats[][2] = {
    {"svg", "svg size 640,440 font 'DejaVu Sans,13' background rgb 'white'"},
    {"pdf", "pdfcairo size 3.5in,2.4in font 'DejaVu Sans,7'"},
    {"png", "pngcairo size 1280,880 font 'DejaVu Sans,26' linewidth 2 pointscale 2"}};

/// gnuplot on a file as its standard input; true where it ended well.
bool run(const std::filesystem::path& script) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, script.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  char name[] = "gnuplot";
  char* arguments[] = {name, nullptr};
  pid_t child = 0;
  const int error = posix_spawnp(&child, "gnuplot", &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return false;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::string gnuplot_quoted(const std::string& text) {
  std::string safe = "\"";
  for (const char c : drawable(text, system_font_coverage()))
    safe += (c == '"' || c == '\\') ? std::string("\\") + c : std::string(1, c);
  return safe + "\"";
}

bool run_gnuplot(const std::string& script, const std::string& name, const std::filesystem::path& folder) {
  // All formats in one process: starting it is the slow part.
  std::string all;
  for (const auto& [extension, terminal] : kFormats)
    all += fmt::format("reset session\nset encoding utf8\nset terminal {}\nset output {}\n{}unset output\n",
                       terminal, gnuplot_quoted((folder / (name + ".tmp." + extension)).string()), script);
  const auto script_path = folder / (name + ".tmp.gp");
  write_file(script_path, all);
  const bool drawn = run(script_path);
  std::error_code ignored;
  for (const auto& [extension, terminal] : kFormats) {
    const auto temporary = folder / (name + ".tmp." + extension);
    if (drawn)
      std::filesystem::rename(temporary, folder / (name + "." + extension), ignored);
    else
      std::filesystem::remove(temporary, ignored);
  }
  std::filesystem::remove(script_path, ignored);
  return drawn;
}

}  // namespace defectoscope
