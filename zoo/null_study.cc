// What independently trained models show of each other (docs/lineage.md). Its first argument says what it
// prints:
//
// table SIGNATURES MODELS PHANTOMS
//   src/lineage/null_table.h; MODELS has the folders that the signatures are of, for aligned embeddings;
//   writes its phantoms into the folder PHANTOMS
// check SIGNATURES [MODELS [FIGURES]]
//   false positives, each pair against all that share no model with it; embeddings are aligned where MODELS
//   is given
// phantoms N FOLDER [FIGURES]
//   false positives of N other phantoms, written into FOLDER
// separation ZOO TEXT
//   which direction tells relatives best

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "analysis/angle.h"
#include "analysis/journal.h"
#include "analysis/scan.h"
#include "analysis/trigger_inputs.h"
#include "forward/transformer.h"
#include "lineage/unrelated_pairs.h"
#include "report/figures.h"
#include "tokenizer/tokenizer.h"
#include "zoo/phantom_at.h"
#include "zoo/program.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

constexpr Index kGoodnessDraws = 499;
constexpr std::uint64_t kFirstOtherPhantom = 1001;  // none of the null's

/// Models that were trained, or made, independently of each other.
struct Population {
  std::vector<Signature> signatures;
  std::vector<std::shared_ptr<const Model>> models;
  std::vector<EmbeddedVocabulary> vocabularies;

  void open(const fs::path& path) {
    models.push_back(std::make_shared<const Model>(Model::open(path)));
    vocabularies.push_back(embedded_vocabulary(*models.back(), open_tokenizer(path).get()));
  }
};

/// Signatures of a folder, with their models where `models` has them.
Population trained_models(const fs::path& signatures, const fs::path& models) {
  Population population{read_signatures(signatures), {}, {}};
  if (!models.empty())
    for (const Signature& signature : population.signatures) population.open(models / signature.model);
  return population;
}

std::vector<UnrelatedPair> pairs_of(const Population& population) {
  return unrelated_pairs(population.signatures, population.vocabularies);
}

/// Models whose signatures are taken here.
Population measured_models(const std::vector<fs::path>& folders) {
  Population population;
  for (const fs::path& folder : folders) {
    population.open(folder);
    population.signatures.push_back(
        compute_signature(*population.models.back(), open_tokenizer(folder).get(), {}));
  }
  return population;
}

/// Phantoms with seeds from `first_seed` on, written into `folder` where they are not there yet.
std::vector<UnrelatedPair> phantom_pairs(Index count, std::uint64_t first_seed, const fs::path& folder) {
  std::vector<fs::path> paths;
  for (Index i = 0; i < count; ++i)
    paths.push_back(phantom_at(folder, first_seed + static_cast<std::uint64_t>(i)));
  return pairs_of(measured_models(paths));
}

void print_population(std::span<const UnrelatedPair> pairs) {
  for (const EmpiricalNull& n : null_of(pairs, -1, -1, kGoodnessDraws)) {
    std::string knots;
    for (const double knot : n.knots) knots += fmt::format("{}{:.6g}", knots.empty() ? "" : ", ", knot);
    fmt::print(
        "    {{.kind = static_cast<EvidenceKind>({}),  // {}\n     .pairs = {},\n     .knots = {{{}}},\n"
        "     .tail = {{.threshold = {:.6g}, .share = {:.6g}, .shape = {:.6g}, .scale = {:.6g}}},\n"
        "     .goodness = {{.exceedances = {}, .anderson_darling = {:.4g}, .p = {:.4g}}}}},\n",
        static_cast<int>(n.kind), evidence_name(n.kind), n.pairs, knots, n.tail.threshold, n.tail.share,
        n.tail.shape, n.tail.scale, n.goodness.exceedances, n.goodness.anderson_darling, n.goodness.p);
  }
}

void print_table(const fs::path& signatures, const fs::path& models_folder, const fs::path& phantoms) {
  const std::vector<UnrelatedPair> models = pairs_of(trained_models(signatures, models_folder)),
                                   planted = phantom_pairs(kPhantomsOfTheNull, 1, phantoms);
  fmt::print(
      "#pragma once\n\n// Made by `null_study table zoo/unrelated MODELS FOLDER`; not to be "
      "edited.\n\n#include "
      "<array>\n\n"
      "#include \"lineage/empirical_null.h\"\n\nnamespace defectoscope::null_table {{\n\n"
      "inline constexpr std::array<EmpiricalNull, {}> kKinds{{{{\n    // Trained models.\n",
      2 * kEvidenceKinds);
  print_population(models);
  fmt::print("    // Phantoms.\n");
  print_population(planted);
  fmt::print("}}}};\n\n}}  // namespace defectoscope::null_table\n");
}

/// Sorted p against their ranks: on the diagonal where p is uniform.
Series against_uniform(const std::string& name, std::vector<double> log_p) {
  std::ranges::sort(log_p);
  Series series{.name = name, .x = {}, .y = {}};
  for (std::size_t i = 0; i < log_p.size(); ++i) {
    series.x.push_back((static_cast<double>(i) + 0.5) / static_cast<double>(log_p.size()));
    series.y.push_back(std::exp(log_p[i]));
  }
  return series;
}

void draw(const std::string& id, const std::string& title, std::vector<Series> series, const fs::path& out) {
  const double smallest = series.front().x.front();
  series.push_back({.name = "uniform", .x = {smallest, 1}, .y = {smallest, 1}});
  Section section{.id = "false-positives", .heading = title};
  section.charts.push_back(
      {.id = id,
       .title = title,
       .sentence = "Sorted p-values against their ranks; above the diagonal is cautious.",
       .kind = ChartKind::kLines,
       .x = {.label = "share of pairs", .log = true},
       .y = {.label = "p", .log = true},
       .series = std::move(series)});
  for (const std::string& missing : write_figures({section}, out)) fmt::print(stderr, "{}\n", missing);
}

void print_shares(const std::string& name, const std::vector<double>& log_p) {
  fmt::print("| {} | {} | {:.4f} | {:.4f} | {:.4f} | {:.2g} |\n", name, log_p.size(), share_below(log_p, 0.1),
             share_below(log_p, 0.01), share_below(log_p, 0.001),
             log_p.empty() ? 1 : std::exp(*std::ranges::min_element(log_p)));
}

std::vector<double> by_laws(std::span<const UnrelatedPair> pairs) {
  std::vector<double> log_p;
  for (const UnrelatedPair& pair : pairs)
    if (pair.comparison.log_p) log_p.push_back(*pair.comparison.log_p);
  return log_p;
}

/// Of one kind of evidence, by the laws alone.
std::vector<double> of_kind(std::span<const UnrelatedPair> pairs, int kind) {
  std::vector<double> log_p;
  for (const UnrelatedPair& pair : pairs) {
    const Evidence& evidence = pair.comparison.evidence[static_cast<std::size_t>(kind)];
    if (evidence.compared()) log_p.push_back(evidence.log_p_laws);
  }
  return log_p;
}

void check(std::span<const UnrelatedPair> pairs, const std::string& what, const fs::path& figures) {
  fmt::print("| p of {} | pairs | p < 0.1 | p < 0.01 | p < 0.001 | smallest |\n|---|---|---|---|---|---|\n",
             what);
  const std::vector<double> left_out = left_out_log_p(pairs), laws = by_laws(pairs);
  print_shares("most cautious, left out in turn", left_out);
  std::vector<UnrelatedPair> same_width;
  for (const UnrelatedPair& pair : pairs)
    if (pair.comparison.evidence.front().compared()) same_width.push_back(pair);
  print_shares("the same, of one width", left_out_log_p(same_width));
  print_shares("laws alone", laws);
  for (int k = 0; k < kEvidenceKinds; ++k)
    print_shares("laws, " + evidence_name(static_cast<EvidenceKind>(k)), of_kind(pairs, k));
  if (!figures.empty())
    draw("false-positives-" + what, "p-values of unrelated " + what,
         {against_uniform("most cautious", left_out), against_uniform("laws alone", laws)}, figures);
}

void check_signatures(const fs::path& folder, const fs::path& models, const fs::path& figures) {
  const std::vector<UnrelatedPair> pairs = pairs_of(trained_models(folder, models));
  check(pairs, "models", figures);
  fmt::print(
      "\n| evidence | pairs | threshold | shape | scale | A² | p of the fit "
      "|\n|---|---|---|---|---|---|---|\n");
  for (const EmpiricalNull& n : null_of(pairs, -1, -1, kGoodnessDraws))
    fmt::print("| {} | {} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {:.2f} |\n", evidence_name(n.kind), n.pairs,
               n.tail.threshold, n.tail.shape, n.tail.scale, n.goodness.anderson_darling, n.goodness.p);
}

/// False positives of pairs that the shipped null has not seen.
void check_unseen(std::vector<UnrelatedPair> pairs, const std::string& what, const fs::path& figures) {
  for (UnrelatedPair& pair : pairs) conclude(pair.comparison, shipped_null());
  const std::vector<double> log_p = by_laws(pairs);
  fmt::print("| p of {} | pairs | p < 0.1 | p < 0.01 | p < 0.001 | smallest |\n|---|---|---|---|---|---|\n",
             what);
  print_shares("most cautious", log_p);
  for (int k = 0; k < kEvidenceKinds; ++k)
    print_shares("laws, " + evidence_name(static_cast<EvidenceKind>(k)), of_kind(pairs, k));
  if (!figures.empty())
    draw("false-positives-" + what, "p-values of unrelated " + what,
         {against_uniform("most cautious", log_p)}, figures);
}

// ---- separation ----

/// Directions of one model, a row a layer where it has one of every layer.
struct Candidates {
  Matrix left, ffn_left, maximiser, empirical;
};

Candidates candidates_of(const fs::path& path, const std::string& text) {
  const Model model = Model::open(path);
  const auto tokenizer = open_tokenizer(path);
  const Signature signature = compute_signature(model, tokenizer.get(), {});
  Candidates found{signature.left, signature.ffn_left, Matrix(signature.layers, signature.hidden_size),
                   Matrix(1, signature.hidden_size)};
  const Transformer transformer(model);
  for (Index i = 0; i < signature.layers; ++i) {
    const LinearizedLayer layer(model.layer(i), model.config(), {});
    const TriggerInputs inputs = find_trigger_inputs(transformer, i, layer, {}, {}, 1);
    std::ranges::copy(inputs.maximiser.output, found.maximiser.row(i).begin());
  }
  ScanOptions options;
  options.rows = 250;
  options.text = text;
  ScanJournal journal;
  const ScanResult scanned = scan(model, *tokenizer, options, journal);
  std::ranges::copy(scanned.high_norm.direction, found.empirical.row(0).begin());
  return found;
}

/// The paper's distance by one of them; none where it cannot be had.
std::optional<double> smallest_angle(const Matrix& a, const Matrix& b) {
  std::optional<double> smallest;
  if (a.cols() != b.cols()) return smallest;
  for (Index i = 0; i < std::min(a.rows(), b.rows()); ++i) {
    const auto x = a.row(i), y = b.row(i);
    const auto zero = [](float v) { return v == 0; };
    if (std::ranges::all_of(x, zero) || std::ranges::all_of(y, zero)) continue;
    smallest = std::min(acute_angle_degrees(x, y), smallest.value_or(90));
  }
  return smallest;
}

void print_separation(const fs::path& zoo, const std::string& text) {
  const std::vector<std::string> related{
      "llama-base-ft-full",  "llama-base-ft-lora",  "llama-base-ckpt-2400", "llama-base-ckpt-1600",
      "llama-base-ckpt-800", "llama-base-ckpt-400", "llama-base-ckpt-100"},
      independent{"llama-base", "llama-seed2", "llama-window",
                  "gpt2-mini",  "neox-mini",   "bidirectional-prenorm"};
  std::map<std::string, Candidates> models;
  for (const auto* names : {&related, &independent})
    for (const std::string& name : *names) models[name] = candidates_of(zoo / name, text);
  const std::vector<std::pair<const char*, Matrix Candidates::*>> kinds{
      {"u of L (the paper's)", &Candidates::left},
      {"u of F", &Candidates::ffn_left},
      {"the true maximiser's output", &Candidates::maximiser},
      {"the empirical direction", &Candidates::empirical}};
  std::string header = "| direction |";
  for (const std::string& name : related) header += " " + name.substr(11) + " |";
  fmt::print("{} unrelated: smallest, median of pairs |\n|---|", header);
  for (std::size_t i = 0; i <= related.size(); ++i) fmt::print("---|");
  fmt::print("\n");
  for (const auto& [name, member] : kinds) {
    fmt::print("| {} |", name);
    for (const std::string& other : related) {
      const auto angle = smallest_angle(models["llama-base"].*member, models[other].*member);
      fmt::print(" {} |", angle ? fmt::format("{:.1f}°", *angle) : "–");
    }
    std::vector<double> apart;
    for (std::size_t i = 0; i < independent.size(); ++i)
      for (std::size_t k = 0; k < i; ++k)
        if (const auto angle = smallest_angle(models[independent[i]].*member, models[independent[k]].*member))
          apart.push_back(*angle);
    std::ranges::sort(apart);
    fmt::print(" {:.1f}°, {:.1f}° of {} |\n", apart.front(), apart[apart.size() / 2], apart.size());
  }
}

int run(const std::vector<std::string>& arguments) {
  const std::size_t n = arguments.size();
  const std::string verb = n > 0 ? arguments[0] : "";
  const auto optional = [&](std::size_t i) { return i < n ? arguments[i] : std::string(); };
  if (verb == "table" && n == 4) return print_table(arguments[1], arguments[2], arguments[3]), 0;
  if (verb == "check" && n >= 2 && n <= 4) return check_signatures(arguments[1], optional(2), optional(3)), 0;
  if (verb == "phantoms" && (n == 3 || n == 4))
    return check_unseen(phantom_pairs(std::stol(arguments[1]), kFirstOtherPhantom, arguments[2]), "phantoms",
                        optional(3)),
           0;
  if (verb == "separation" && n == 3) return print_separation(arguments[1], arguments[2]), 0;
  std::fputs(
      "usage: null_study table SIGNATURES MODELS PHANTOMS | check SIGNATURES [MODELS [FIGURES]] |\n"
      "                  phantoms N FOLDER [FIGURES] | separation ZOO TEXT\n",
      stderr);
  return 2;
}

}  // namespace
}  // namespace defectoscope

int main(int argc, char** argv) {
  return defectoscope::run_program("null_study", argc, argv, defectoscope::run);
}
