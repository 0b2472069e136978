// The tables of attacks in docs/lineage.md: attack_table MODEL [OTHER [TEXT]]
// Every attack of `disguise` on a model, at three strengths where it has one: distance and p by the paper's
// method (its directions, the Beta law) and by ours. Beside those that damage the perplexity on TEXT, or
// without one how far the logits moved; those that preserve the function are held to the logits. OTHER is
// what is interpolated with.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "forward/perplexity.h"
#include "lineage/compare.h"
#include "lineage/logit_difference.h"
#include "model/model.h"
#include "report/lineage_text.h"
#include "tokenizer/tokenizer.h"
#include "zoo/disguised_at.h"
#include "zoo/program.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::vector<double>, std::less<>>& strengths() {
  static const std::map<std::string, std::vector<double>, std::less<>> kStrengths{
      {"gain-folding", {0, 0.5, 1}},
      {"up-down-rescaling", {0.5, 1, 2}},
      {"value-output", {0.5, 1, 2}},
      {"residual-scaling", {0.3, 3, 30}},
      {"layer-insertion", {1, 2, 4}},
      {"vocabulary-extension", {0.1, 0.5, 1}},
      {"vocabulary-shuffle", {0.3, 0.6, 1}},
      {"noise", {0.1, 0.3, 1}},
      {"quantize", {8, 4, 2}},
      {"prune", {0.3, 0.6, 0.9}},
      {"drop-layers", {1, 2, 4}},
      {"duplicate-layers", {1, 2, 4}},
      {"interpolate", {0.3, 0.5, 0.9}},
      {"embedding-shuffle", {0.3, 0.6, 1}},
      {"low-rank", {0.1, 0.3, 1}},
      {"prune-neurons", {0.25, 0.5, 0.75}},
      {"embedding-noise", {0.1, 0.3, 1}},
      {"embedding-replacement", {0.3, 0.6, 1}}};
  return kStrengths;
}

struct Origin {
  fs::path folder;
  Signature ours, paper;
};

Signature signature_at(const fs::path& folder, SignatureForm form) {
  SignatureOptions options;
  options.form = form;
  return compute_signature(Model::open(folder), open_tokenizer(folder).get(), options);
}

Origin origin_of(const fs::path& folder) {
  return {folder, signature_at(folder, SignatureForm::kCanonical),
          signature_at(folder, SignatureForm::kPaper)};
}

std::string perplexity_of(const fs::path& folder, const fs::path& text) {
  if (text.empty()) return "none";
  const Model model = Model::open(folder);
  const TokenIds page = open_tokenizer(folder)->encode(read_file(text), false);
  WindowOptions window;
  window.window = std::min<Index>(32, std::ssize(page));
  return fmt::format("{:.4g}", perplexity(Transformer(model), page, window).perplexity);
}

/// One attack at one strength.
std::string row(const Origin& origin, const Attack& attack, double strength, const fs::path& with,
                const fs::path& text, const fs::path& scratch) {
  const std::string label = attack.strength_means.empty() ? std::string(attack.name)
                                                          : fmt::format("{} {:g}", attack.name, strength);
  try {
    write_disguised(origin.folder, {&attack, strength}, with, scratch);
  } catch (const Error& refused) {
    return fmt::format("| {} | refused | – | – | – | – |\n", label);
  }
  std::string cost;
  if (attack.preserves_function) {
    const double difference = logit_difference(Model::open(origin.folder), Model::open(scratch));
    cost = difference < kLogitRounding ? "same" : fmt::format("{:.1e} off", difference);
  } else {
    cost = text.empty()
               ? fmt::format("{:.2g} off", logit_difference(Model::open(origin.folder), Model::open(scratch)))
               : perplexity_of(scratch, text);
  }
  const Comparison ours = compare(origin.ours, signature_at(scratch, SignatureForm::kCanonical));
  const Comparison paper = compare(origin.paper, signature_at(scratch, SignatureForm::kPaper));
  const Evidence& layers = paper.evidence.front();
  fs::remove_all(scratch);
  return fmt::format("| {} | {} | {} | {} | {} | {} |\n", label, cost,
                     paper.distance_degrees ? fmt::format("{:.1f}°", *paper.distance_degrees) : "–",
                     layers.compared() ? probability_text(layers.log_p_beta) : "–",
                     ours.log_p ? probability_text(*ours.log_p) : "–",
                     ours.carried_by
                         ? fmt::format("{}, {}", verdict_name(ours.verdict), evidence_name(*ours.carried_by))
                         : verdict_name(ours.verdict));
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.size() > 3) {
    std::fputs("usage: attack_table MODEL [OTHER [TEXT]]\n", stderr);
    return 2;
  }
  const Origin origin = origin_of(arguments[0]);
  const fs::path with = arguments.size() > 1 ? arguments[1] : "",
                 text = arguments.size() > 2 ? arguments[2] : "";
  const fs::path scratch = fs::temp_directory_path() / fmt::format("attack-table-{}", origin.ours.model);
  fmt::print(
      "| attack, strength | outputs, or PPL ({} untouched) | paper: distance | p (Beta) | ours: p | verdict, "
      "carried by |\n"
      "|---|---|---|---|---|---|\n",
      perplexity_of(origin.folder, text));
  for (const Attack& attack : attacks()) {
    const auto known = strengths().find(attack.name);
    for (const double strength : known == strengths().end() ? std::vector<double>{0} : known->second) {
      fmt::print("{}", row(origin, attack, strength, with, text, scratch));
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace
}  // namespace defectoscope

int main(int argc, char** argv) {
  return defectoscope::run_program("attack_table", argc, argv, defectoscope::run);
}
