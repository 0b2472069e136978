#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// What every analysis has to show, as plain values: each can be drawn, on a page or in a figure,
/// and written as a table without knowing what it is about.

enum class ChartKind {
  kLines,     ///< series over x, points joined
  kScatter,   ///< series of single points
  kBars,      ///< one bar a category of x and series, side by side
  kHeatmap,   ///< grid over x and y, coloured
  kLandscape  ///< grid over x and y as heights: one wall a row (the paper's figure 1)
};

struct Axis {
  std::string label;
  std::string unit = {};                     ///< printed in brackets behind the label; empty: none
  bool log = false;                          ///< values at or under zero are then left out
  std::vector<std::string> categories = {};  ///< names of positions 0, 1, ...; empty: a numeric axis
  bool whole = false;                        ///< ticks at whole numbers only (layers)
  std::optional<double> min = {}, max = {};  ///< of the range; empty: from the data
};

/// One curve, cloud or row of bars. A value that does not exist is NaN: the line breaks there.
struct Series {
  std::string name;
  std::vector<double> x;                    ///< empty: 0, 1, ... (positions of categories)
  std::vector<double> y;                    ///< as long as x
  std::vector<std::string> labels = {};     ///< a name for each point (tokens), readable_token form; or empty
  bool second_axis = false;                 ///< against Chart::y2
  std::vector<double> low = {}, high = {};  ///< a band about y (quantiles); both as long as y, or empty
};

/// A line across the chart at a place worth naming: a found layer, a threshold.
struct Mark {
  enum class Kind { kExplosion, kDecay, kOther };
  double at = 0;
  std::string text;
  Kind kind = Kind::kOther;
  bool horizontal = false;  ///< at this y instead of this x
};

struct Chart {
  std::string id;        ///< file name and anchor: [a-z0-9-], unique in a report ("norm-landscape")
  std::string title;     ///< a few words
  std::string sentence;  ///< what it shows here, for this model, with numbers; one or two sentences
  ChartKind kind = ChartKind::kLines;
  Axis x, y;
  Axis y2 = {};     ///< right-hand axis where a series asks for it
  Axis value = {};  ///< of a grid's cells
  std::vector<Series> series = {};
  std::vector<std::vector<double>> grid = {};  ///< grid[y][x], of heatmaps and landscapes; NaN: no value
  double grid_x_begin = 0;  ///< x of the first column where x has no categories (layer 0, 1)
  std::vector<Mark> marks = {};
};

/// A table cell; monostate is "does not exist" (null in JSON, empty in CSV, – in the page).
using Cell = std::variant<std::monostate, bool, Index, double, std::string>;

/// nullopt, NaN and infinity become empty cells.
Cell cell(std::optional<double> value);

struct Column {
  std::string name;
  std::string unit = {};  ///< "°", ...
  std::string help = {};  ///< a sentence for those who ask what it is
};

struct Table {
  std::string id;     ///< as Chart::id; unique among charts and tables of a report
  std::string title;  ///< a few words
  std::string sentence = {};
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;  ///< each as long as columns
};

/// Where in a token's life a section belongs; the report's order.
enum class Stage { kOverview, kDevelopment, kTrigger, kExplosion, kPlateau, kDecay, kBeyond };

struct Section {
  std::string id;       ///< anchor, [a-z0-9-]; the subcommand's name where it has one section
  std::string heading;  ///< "Norms: how hidden states grow"
  Stage stage = Stage::kBeyond;
  std::vector<std::string> sentences = {};  ///< what was found; or why the question makes no sense here
  std::vector<Chart> charts = {};
  std::vector<Table> tables = {};
};

/// Throws std::logic_error naming the place where a section breaks what is said above (lengths that differ,
/// an id that is no id, one that occurs twice): our own mistake, found by every test that writes a report.
void check_sections(const std::vector<Section>& sections);

/// "label (unit)", or the label alone.
std::string axis_title(const Axis& axis);

}  // namespace defectoscope
