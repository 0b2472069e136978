#include "report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/files.h"
#include "base/parallel.h"
#include "report/gnuplot.h"
#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

/// Okabe and Ito's colours, which the colour-blind can tell apart; with a point shape of its own for each.
constexpr const char* kColours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                    "#E69F00", "#56B4E9", "#000000"};
constexpr int kPoints[] = {7, 5, 9, 11, 13, 6, 4};
/// Viridis, seven stops; gnuplot knows it by name from 5.5 on only.
constexpr const char* kViridis =
    "0 '#440154', 1 '#443983', 2 '#31688e', 3 '#21918c', 4 '#35b779', 5 '#90d743', 6 '#fde725'";
/// More walls or names than these cannot be told apart in a column of a paper.
constexpr std::size_t kWalls = 8, kNames = 24;

const char* colour(std::size_t i) { return kColours[i % std::size(kColours)]; }
int point(std::size_t i) { return kPoints[i % std::size(kPoints)]; }
std::string value(double number) {
  return std::isfinite(number) ? fmt::format("{:.9g}", number) : std::string("NaN");
}
std::string bound(const std::optional<double>& number) { return number ? value(*number) : "*"; }

/// Names under the x axis that do not fit side by side.
bool tilts(const Axis& x) {
  const std::size_t count = x.categories.size();
  for (std::size_t i = 0; i + 1 < count; ++i)  // neighbours, in characters of some 56 across
    if ((count_code_points(x.categories[i]) + count_code_points(x.categories[i + 1]) + 2) * count > 2 * 56)
      return true;
  return false;
}

/// set xlabel, xrange, xtics ... for `letter` x, y, y2, z.
std::string axis_script(const Axis& axis, const std::string& letter, std::size_t names_at_most = kNames) {
  std::string script = fmt::format("set {}label {} noenhanced\n", letter, gnuplot_quoted(axis_title(axis)));
  if (axis.log) script += fmt::format("set logscale {}\nset format {} '%g'\n", letter, letter);
  if (axis.min || axis.max)
    script += fmt::format("set {}range [{}:{}]\n", letter, bound(axis.min), bound(axis.max));
  if (!axis.categories.empty()) {
    const std::size_t count = axis.categories.size(), step = (count + names_at_most - 1) / names_at_most;
    std::string ticks;
    for (std::size_t i = 0; i < count; i += step)
      ticks += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_quoted(axis.categories[i]), i);
    script += fmt::format("set {}tics noenhanced ({})\n", letter, ticks);
    if (letter == "x" && tilts(axis)) script += "set xtics rotate by -40 left\n";
  } else if (axis.whole) {
    const double span = axis.max.value_or(10) - axis.min.value_or(0);
    if (axis.min && axis.max)
      script += fmt::format("set {}tics {}\n", letter, std::max(1.0, std::ceil(span / 12)));
  }
  return script;
}

std::string marks_script(const Chart& chart) {
  std::string script;
  for (const Mark& mark : chart.marks) {
    const char* paint = mark.kind == Mark::Kind::kExplosion ? "#D55E00"
                        : mark.kind == Mark::Kind::kDecay   ? "#0072B2"
                                                            : "#666666";
    const std::string text = gnuplot_quoted(mark.text), at = value(mark.at);
    if (mark.horizontal)
      script += fmt::format(
          "set arrow from graph 0,first {0} to graph 1,first {0} nohead dashtype 2 linecolor rgb '{1}' back\n"
          "set style textbox opaque noborder fillcolor rgb 'white' margins 0.5,0.2\n"
          "set label {2} noenhanced at graph 0.02,first {0} left textcolor rgb '{1}' front boxed\n",
          at, paint, text);
    else
      script += fmt::format(
          "set arrow from first {0},graph 0 to first {0},graph 1 nohead dashtype 2 linecolor rgb '{1}' back\n"
          "set label {2} noenhanced at first {0},graph 1.04 center textcolor rgb '{1}'\n",
          at, paint, text);
  }
  return script;
}

std::string data_block(std::size_t index, const Series& series) {
  std::string script = fmt::format("$s{} << EOD\n", index);
  for (std::size_t i = 0; i < series.y.size(); ++i) {
    script += fmt::format("{} {}", value(series.x.empty() ? static_cast<double>(i) : series.x[i]),
                          value(series.y[i]));
    if (!series.low.empty()) script += fmt::format(" {} {}", value(series.low[i]), value(series.high[i]));
    script += "\n";
  }
  return script + "EOD\n";
}

/// The names of the series below the axis, in as many columns as fit. The margin is ours to make: gnuplot's
/// own lets a key of several rows run into the axis' label.
std::string key_script(const Chart& chart) {
  std::size_t longest = 0, longest_tick = 0;
  for (const Series& series : chart.series) longest = std::max(longest, count_code_points(series.name));
  for (const std::string& name : chart.x.categories)
    longest_tick = std::max(longest_tick, count_code_points(name));
  // As many as gnuplot, which takes all letters for wide ones, fits into a line; more and it makes fewer.
  const std::size_t columns = longest <= 12 ? 3 : longest <= 20 ? 2 : 1;
  const std::size_t rows = (chart.series.size() + columns - 1) / columns;
  const double tilted = tilts(chart.x) ? 0.36 * static_cast<double>(longest_tick) : 0;
  return fmt::format(
      "set bmargin {:.3g}\nset key at screen 0.5,0.015 bottom center horizontal maxcols {} Left reverse "
      "noenhanced "
      "samplen 1.5\n",
      3.4 + 1.3 * static_cast<double>(rows) + tilted, columns);
}

std::string series_script(const Chart& chart) {
  const bool second = std::any_of(chart.series.begin(), chart.series.end(),
                                  [](const Series& series) { return series.second_axis; });
  std::string script = "set tmargin 2\nset grid ytics linecolor rgb '#dddddd'\nset tics nomirror\n";
  script += fmt::format("set border {}\n", second ? 11 : 3);
  if (chart.kind == ChartKind::kScatter) script += "set autoscale xfix\n";
  script += axis_script(chart.x, "x") + axis_script(chart.y, "y");
  if (second) script += "set y2tics\n" + axis_script(chart.y2, "y2");
  script += marks_script(chart);
  script += chart.series.size() == 1 ? "unset key\n" : key_script(chart);
  for (std::size_t i = 0; i < chart.series.size(); ++i) script += data_block(i, chart.series[i]);
  std::string plots;
  const auto add = [&](const std::string& plot) { plots += (plots.empty() ? "" : ", ") + plot; };
  const double width = 0.8 / static_cast<double>(chart.series.size());
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    const std::string title = gnuplot_quoted(series.name);
    const char* axes = series.second_axis ? " axes x1y2" : "";
    if (!series.low.empty() && chart.kind == ChartKind::kLines)
      add(fmt::format(
          "$s{} using 1:3:4{} with filledcurves fillstyle transparent solid 0.2 linecolor rgb '{}' notitle",
          i, axes, colour(i)));
    switch (chart.kind) {
      case ChartKind::kBars: {
        const double left = (static_cast<double>(i) - static_cast<double>(chart.series.size()) / 2) * width;
        add(
            fmt::format("$s{} using ($1+{}):2:({}){} with boxes fillstyle solid 0.85 noborder linecolor rgb "
                        "'{}' title {}",
                        i, left + width / 2, width * 0.92, axes, colour(i), title));
        break;
      }
      case ChartKind::kScatter:
        add(fmt::format("$s{} using 1:2{} with points pointtype {} pointsize {} linecolor rgb '{}' notitle",
                        i, axes, point(i), series.y.size() > 500 ? 0.25 : 0.6, colour(i)));
        if (chart.series.size() > 1)
          add(fmt::format("keyentry with points pointtype {} pointsize 0.8 linecolor rgb '{}' title {}",
                          point(i), colour(i), title));
        break;
      default:
        add(fmt::format(
            "$s{} using 1:2{} with {} pointtype {} pointsize 0.7 linewidth 1.5 linecolor rgb '{}' title {}",
            i, axes, series.y.size() > 200 ? "lines" : "linespoints", point(i), colour(i), title));
    }
  }
  return script + "plot " + plots + "\n";
}

std::string heatmap_script(const Chart& chart) {
  std::string script =
      axis_script(chart.x, "x") + axis_script(chart.y, "y", kNames) + "unset key\nunset grid\n";
  script += fmt::format("set cblabel {} noenhanced\nset palette defined ({})\nset cbrange [{}:{}]\n",
                        gnuplot_quoted(axis_title(chart.value)), kViridis, bound(chart.value.min),
                        bound(chart.value.max));
  if (chart.value.log) script += "set logscale cb\nset format cb '%g'\n";
  script += fmt::format("set xrange [{}:{}]\nset yrange [-0.5:{}]\n", chart.grid_x_begin - 0.5,
                        chart.grid_x_begin + static_cast<double>(chart.grid[0].size()) - 0.5,
                        static_cast<double>(chart.grid.size()) - 0.5);
  script += marks_script(chart) + "$g << EOD\n";
  for (std::size_t row = 0; row < chart.grid.size(); ++row)
    for (std::size_t col = 0; col < chart.grid[row].size(); ++col)
      script += fmt::format("{} {} {}\n", chart.grid_x_begin + static_cast<double>(col), row,
                            value(chart.grid[row][col]));
  return script + "EOD\nplot $g using 1:2:3 with image pixels\n";
}

/// The rows a figure has room for: the first ones and the last.
std::vector<std::size_t> shown_rows(std::size_t rows) {
  std::vector<std::size_t> shown;
  for (std::size_t i = 0; i < rows; ++i)
    if (i + 1 < kWalls || i + 1 == rows) shown.push_back(i);
  return shown;
}

std::string landscape_script(const Chart& chart) {
  const std::vector<std::size_t> shown = shown_rows(chart.grid.size());
  const double end = chart.grid_x_begin + static_cast<double>(chart.grid[0].size()) - 1;
  std::string script = fmt::format(
      "set xlabel {} noenhanced offset 0,-0.8\nset zlabel {} noenhanced rotate by 90\n"
      "set view 60,68,1.1,1.15\nset xyplane 0\nunset key\nset grid\nset style fill transparent solid 0.45\n"
      "set xtics {} offset -0.6,-0.3\nset xrange [{}:{}]\nset yrange [{}:-0.5]\nset zrange [0:*]\n"
      "set ytics left noenhanced offset 0,-0.2 (",
      gnuplot_quoted(axis_title(chart.x)), gnuplot_quoted(axis_title(chart.value)),
      std::max(1.0, std::ceil((end - chart.grid_x_begin) / 8)), chart.grid_x_begin, end,
      static_cast<double>(shown.size()) - 0.5);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const std::string name =
        chart.y.categories.empty() ? std::to_string(shown[i]) : chart.y.categories[shown[i]];
    script += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_quoted(name), i);
  }
  script += ")\n";
  for (std::size_t i = 0; i < shown.size(); ++i) {
    script += fmt::format("$s{} << EOD\n", i);
    const auto& row = chart.grid[shown[i]];
    for (std::size_t col = 0; col < row.size(); ++col)
      script +=
          fmt::format("{} {} {} 0\n", chart.grid_x_begin + static_cast<double>(col), i, value(row[col]));
    script += "EOD\n";
  }
  // From the back to the front, so that a wall hides what stands behind it.
  script += "splot ";
  for (std::size_t i = 0; i < shown.size(); ++i)
    script += fmt::format("{}$s{} using 1:2:3:4:3 with zerrorfill linecolor rgb '{}' linewidth 1.5",
                          i == 0 ? "" : ", ", i, colour(i));
  return script + "\n";
}

}  // namespace

std::string chart_script(const Chart& chart) {
  switch (chart.kind) {
    case ChartKind::kHeatmap:
      return heatmap_script(chart);
    case ChartKind::kLandscape:
      return landscape_script(chart);
    case ChartKind::kLines:
    case ChartKind::kScatter:
    case ChartKind::kBars:
      break;
  }
  return series_script(chart);
}

std::vector<std::string> write_figures(const std::vector<Section>& sections,
                                       const std::filesystem::path& out) {
  const auto folder = out / "figures";
  make_folder(folder);
  std::vector<const Chart*> charts;
  for (const Section& section : sections)
    for (const Chart& chart : section.charts) charts.push_back(&chart);
  std::vector<std::uint8_t> drawn(charts.size());
  parallel_for(static_cast<Index>(charts.size()), [&](Index i) {
    const auto at = static_cast<std::size_t>(i);
    drawn[at] = run_gnuplot(chart_script(*charts[at]), charts[at]->id, folder);
  });
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < charts.size(); ++i)
    if (!drawn[i])
      missing.push_back(fmt::format(
          "figures/{} was not drawn: gnuplot is missing or failed (apt install gnuplot-nox)", charts[i]->id));
  return missing;
}

}  // namespace defectoscope
