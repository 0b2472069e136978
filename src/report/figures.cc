#include "report/figures.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/files.h"

namespace defectoscope {
namespace {

/// Okabe and Ito's colours, which the colour-blind can tell apart.
constexpr const char* kColours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                    "#E69F00", "#56B4E9", "#000000"};
constexpr const char* kFormats[][2] = {
    {"svg", "svg size 640,440 font 'DejaVu Sans,13' background rgb 'white'"},
    {"pdf", "pdfcairo size 3.5in,2.4in font 'DejaVu Sans,9'"},
    {"png", "pngcairo size 1280,880 font 'DejaVu Sans,26' linewidth 2"}};

/// Text inside gnuplot's double quotes, its enhanced-text markup switched off by `noenhanced`.
std::string quoted(const std::string& text) {
  std::string safe = "\"";
  for (const char c : text) safe += (c == '"' || c == '\\') ? std::string("\\") + c : std::string(1, c);
  return safe + "\"";
}

std::string value(const std::optional<double>& number) {
  return number && std::isfinite(*number) ? fmt::format("{:.9g}", *number) : std::string("NaN");
}

/// As the paper's figure 1: the first few tokens of the sentence and its full stop; more cannot be told
/// apart.
std::vector<std::size_t> shown_tokens(const NormLandscape& landscape) {
  constexpr std::size_t kFirst = 7;
  std::vector<std::size_t> shown;
  for (std::size_t t = 0; t < landscape.tokens.size(); ++t)
    if (t < kFirst || t + 1 == landscape.tokens.size()) shown.push_back(t);
  return shown;
}

std::string landscape_script(const ScanResult& r) {
  const NormLandscape& landscape = r.landscape;
  const std::vector<std::size_t> shown = shown_tokens(landscape);
  const std::size_t tokens = shown.size();
  std::string script = fmt::format(
      "set title {} noenhanced offset 0,-3\nset xlabel 'layer' offset 0,-0.8\nset zlabel 'norm' rotate by "
      "90\n"
      "set view 60,50,1.1,1.1\nset xyplane 0\nunset key\nset grid\nset style fill transparent solid 0.35\n"
      "set xtics {} offset -0.6,-0.3\nset xrange [0:{}]\nset yrange [{}:-0.5]\nset ytics noenhanced offset "
      "0.4,-0.4 (",
      quoted(r.model_name), std::max<Index>(1, r.layers / 8), r.layers, static_cast<double>(tokens) - 0.5);
  for (std::size_t t = 0; t < tokens; ++t)
    script += fmt::format("{}{} {}", t == 0 ? "" : ", ", quoted(landscape.tokens[shown[t]]), t);
  script += ")\n";
  for (std::size_t t = 0; t < tokens; ++t) {
    script += fmt::format("$token{} << EOD\n", t);
    for (std::size_t layer = 0; layer < landscape.norms.size(); ++layer)
      script += fmt::format("{} {} {} 0\n", layer, t, value(landscape.norms[layer][shown[t]]));
    script += "EOD\n";
  }
  script += "splot ";
  for (std::size_t t = 0; t < tokens; ++t)
    script += fmt::format("{}$token{} using 1:2:3:4:3 with zerrorfill linecolor rgb '{}' linewidth 1.5",
                          t == 0 ? "" : ", ", t, kColours[t % std::size(kColours)]);
  return script + "\n";
}

std::string per_layer_data(const ScanResult& r) {
  std::string data = "$layers << EOD\n";
  for (const LayerReport& layer : r.layer_reports)
    data += fmt::format("{} {} {} {} {} {}\n", layer.layer, value(layer.left_angle_degrees),
                        value(layer.ffn_left_angle_degrees),
                        layer.eigenvalue ? fmt::format("{:.9g}", layer.eigenvalue->real()) : "NaN",
                        value(layer.eigenvector_angle_degrees), value(layer.decay_ratio));
  return data + "EOD\n";
}

std::string marks(const std::vector<FoundLayer>& layers, const char* colour, const char* name) {
  std::string script;
  for (const FoundLayer& found : layers)
    script += fmt::format(
        "set arrow from first {0},graph 0 to first {0},graph 1 nohead dashtype 2 linecolor rgb '{1}' back\n"
        "set label '{2}' at first {0},graph 1.04 center textcolor rgb '{1}'\n",
        found.layer, colour, name);
  return script;
}

std::string layer_axis(const ScanResult& r) {
  return fmt::format(
             "set tmargin 2\nset xlabel 'layer'\nset xrange [0.5:{}.5]\nset grid ytics linecolor rgb "
             "'#dddddd'\nset border "
             "3\nset tics nomirror\n",
             r.layers) +
         marks(r.explosion_layers, "#D55E00", "explosion") + marks(r.decay_layers, "#0072B2", "decay");
}

std::string angle_script(const ScanResult& r) {
  return per_layer_data(r) + layer_axis(r) +
         "set ylabel 'angle to empirical direction (degrees)'\nset yrange [0:95]\nset ytics 15\nset key "
         "bottom right\n"
         "plot $layers using 1:2 with linespoints pointtype 7 linecolor rgb '#D55E00' title 'left singular "
         "vector of L', "
         "$layers using 1:3 with linespoints pointtype 6 linecolor rgb '#009E73' title 'of F alone'\n";
}

std::string eigenvalue_script(const ScanResult& r) {
  return per_layer_data(r) + layer_axis(r) +
         "set ylabel 'angle of eigenvector (degrees)' textcolor rgb '#D55E00'\nset yrange [0:95]\nset ytics "
         "15\n"
         "set y2label 'eigenvalue of R (real part)' textcolor rgb '#0072B2'\nset y2tics\nset border 11\nset "
         "key off\n"
         "plot $layers using 1:5 with linespoints pointtype 7 linecolor rgb '#D55E00', "
         "$layers using 1:4 axes x1y2 with linespoints pointtype 5 linecolor rgb '#0072B2'\n";
}

/// Runs gnuplot on a script given on its standard input; true where it ended well.
bool run_gnuplot(const std::filesystem::path& script) {
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

bool draw(const std::string& script, const std::string& name, const std::filesystem::path& folder) {
  // All formats in one gnuplot process: starting it is the slow part.
  std::string all;
  for (const auto& [extension, terminal] : kFormats)
    all += fmt::format("reset session\nset encoding utf8\nset terminal {}\nset output {}\n{}unset output\n",
                       terminal, quoted((folder / (name + ".tmp." + extension)).string()), script);
  const auto script_path = folder / (name + ".tmp.gp");
  write_file(script_path, all);
  const bool drawn = run_gnuplot(script_path);
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

}  // namespace

std::vector<std::string> write_figures(const ScanResult& result, const std::filesystem::path& out) {
  const auto folder = out / "figures";
  make_folder(folder);
  std::vector<std::string> missing;
  const auto add = [&](const char* name, const std::string& script) {
    if (!draw(script, name, folder))
      missing.push_back(fmt::format(
          "figures/{} was not drawn: gnuplot is missing or failed (apt install gnuplot-nox)", name));
  };
  add("norm-landscape", landscape_script(result));
  if (result.high_norm.count > 0) {
    add("singular-angle", angle_script(result));
    add("decay-eigenvalue", eigenvalue_script(result));
  } else {
    missing.push_back("figures of angles and eigenvalues: there is no empirical direction to compare with");
  }
  return missing;
}

}  // namespace defectoscope
