// Prints the table of zoo/README.md from our own scans, each as `defectoscope scan MODEL --rows 250` makes it
// (the loss is on heldout.txt): zoo_table ZOO_FOLDER [MODEL ...]

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "analysis/journal.h"
#include "analysis/scan.h"
#include "analysis/training.h"
#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "forward/perplexity.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

constexpr Index kWindow = 32;  // tokens: the zoo's context

/// "–" stands for what does not exist.
std::string rounded(const std::optional<double>& value, int digits, const char* unit = "") {
  return value ? fmt::format("{:.{}f}{}", *value, digits, unit) : std::string("–");
}

std::string layers(const std::vector<FoundLayer>& found) {
  return found.empty() ? "–" : fmt::format("{}", fmt::join(layer_numbers(found), ", "));
}

const LayerReport* strongest(const ScanResult& scan, const std::vector<FoundLayer>& found, bool largest) {
  if (found.empty()) return nullptr;
  const auto best = std::ranges::max_element(found, [&](const FoundLayer& a, const FoundLayer& b) {
    return largest ? a.factor < b.factor : a.factor > b.factor;
  });
  return &scan.layer_reports[static_cast<std::size_t>(best->layer - 1)];
}

std::string row(const Model& model, const Tokenizer& tokenizer, const fs::path& zoo) {
  const TokenIds page = tokenizer.encode(read_file(zoo / "heldout.txt"), false);
  const bool masked = !model.config().causal;
  ScanOptions options;
  options.rows = 250;
  ScanJournal journal;
  const ScanResult scan = defectoscope::scan(model, tokenizer, options, journal);
  std::optional<double> loss;
  if (!masked) {
    WindowOptions window;
    window.window = kWindow;
    loss = perplexity(Transformer(model), page, window).mean_loss;
  }
  const HighNorm& high = scan.high_norm;
  const auto of_high = [&](double value, Index least) {
    return high.count >= least ? std::optional(value) : std::nullopt;
  };
  const LayerReport* explosion = strongest(scan, scan.explosion_layers, true);
  const LayerReport* decay = strongest(scan, scan.decay_layers, false);
  const auto at = [](const LayerReport* layer, std::optional<double> LayerReport::* member) {
    return layer == nullptr ? std::nullopt : layer->*member;
  };
  const std::optional<double> eigenvalue =
      decay != nullptr && decay->eigenvalue ? std::optional(decay->eigenvalue->real()) : std::nullopt;
  return fmt::format("| `{}` | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
                     scan.model_name, scan.model_type, scan.parameters, rounded(loss, 2),
                     rounded(of_high(high.median_ratio, 1), 1), layers(scan.explosion_layers),
                     layers(scan.decay_layers), rounded(of_high(high.mean_pairwise_angle_degrees, 2), 1, "°"),
                     rounded(at(explosion, &LayerReport::left_angle_degrees), 0, "°"),
                     rounded(at(explosion, &LayerReport::ffn_left_angle_degrees), 0, "°"),
                     rounded(eigenvalue, 1),
                     rounded(at(decay, &LayerReport::eigenvector_angle_degrees), 0, "°"),
                     rounded(at(decay, &LayerReport::decay_ratio), 1));
}

void print_table(const fs::path& zoo, std::vector<std::string> names) {
  if (names.empty())
    for (const auto& entry : fs::directory_iterator(zoo))
      if (fs::exists(entry.path() / "config.json")) names.push_back(entry.path().filename().string());
  std::ranges::sort(names, natural_less);
  fmt::print(
      "| model | family | parameters | loss | ratio | explosion | decay | pairwise | L | F | eigenvalue | at "
      "| "
      "decay ratio |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
  for (const std::string& name : names) {
    try {
      const Model model = Model::open(zoo / name);
      const auto tokenizer = open_tokenizer(model.folder());
      fmt::print("{}", row(model, *tokenizer, zoo));
    } catch (const Error& error) {
      std::fprintf(stderr, "zoo_table: %s is left out: %s\n", name.c_str(), error.what());
    }
  }
}

}  // namespace
}  // namespace defectoscope

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: zoo_table ZOO_FOLDER [MODEL ...]\n", stderr);
    return 2;
  }
  // Small products gain nothing from more.
  defectoscope::set_thread_count(1);
  defectoscope::print_table(argv[1], {argv + 2, argv + argc});
  return 0;
}
