#include "cli/model_list.h"

#include <fmt/format.h>
#include <glob.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>

#include "analysis/journal.h"
#include "base/error.h"
#include "base/files.h"
#include "cli/hub_model.h"
#include "cli/scan_session.h"
#include "hub/repo.h"
#include "report/scan_sections.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {

void add_model_list(CLI::App& command, ModelListCommand& options, const std::string& name) {
  command
      .add_option("MODELS", options.models,
                  "Models as MODEL elsewhere, or patterns such as 'run/ckpt-*' and "
                  "'hf://org/name@step*'")
      ->required()
      ->type_name("PATH");
  command
      .add_option("--text", options.text,
                  "Calibration text, UTF-8, a row a line, or wikitext-2 (default: sampled from each model)")
      ->type_name("FILE");
  command.add_option("--out", options.out, "Where results go (default: defectoscope-out/" + name + ")")
      ->type_name("DIR");
  add_threads(command, options.common);
  command.add_option("--seed", options.seed, "Chooses rows and samples")
      ->capture_default_str()
      ->type_name("S");
  add_rows(command, options.rows, "Calibration rows at most");
  command.add_flag("--json", options.json, "Print " + name + ".json instead of the summary");
}

std::vector<std::string> expanded(const std::vector<std::string>& models) {
  std::vector<std::string> names;
  for (const std::string& model : models) {
    if (model.find_first_of("*?[") == std::string::npos || std::filesystem::exists(model)) {
      names.push_back(model);
      continue;
    }
    if (is_hub_address(model)) {
      std::ranges::move(hub_revisions(model), std::back_inserter(names));
      continue;
    }
    glob_t found{};
    const int outcome = glob(model.c_str(), 0, nullptr, &found);
    for (std::size_t i = 0; outcome == 0 && i < found.gl_pathc; ++i) names.emplace_back(found.gl_pathv[i]);
    globfree(&found);
    if (outcome != 0)
      throw_bad_input({.what = "no model matches the pattern",
                       .file = model,
                       .expected = "model folders",
                       .hint = "check the path; `ls` shows what is there"});
  }
  return names;
}

namespace {

/// How a reader knows it: a hub address without its scheme, since the folder's name there is a hash.
std::string readable_name(const std::string& address, const Model& model) {
  return is_hub_address(address) ? address.substr(address.rfind('/') + 1) : model.name();
}

ScanOptions options_of(const ModelListCommand& command, const Model& model) {
  ScanOptions options;
  options.text = text_file(command.text);
  options.rows = command.rows;
  options.seed = command.seed;
  options.compute = automatic_compute(model);
  return options;
}

}  // namespace

std::vector<ScanResult> describe_models(const std::vector<std::string>& models) {
  std::vector<ScanResult> described;
  for (const std::string& address : models) {
    const Model model = Model::open(model_folder(address));
    described.push_back(describe(model, {}));
    described.back().model_name = readable_name(address, model);
  }
  return described;
}

void scan_models(const ModelListCommand& command, const std::string& name,
                 const std::vector<std::string>& models,
                 const std::function<void(const Model&, ScanResult&&)>& each,
                 const std::function<AnalysisOutput()>& output) {
  const RunClock clock;
  const std::filesystem::path out = command.out.empty() ? std::filesystem::path("defectoscope-out") / name
                                                        : std::filesystem::path(command.out);
  make_folder(out);
  AtomicFile probe(out / (name + ".json"));  // a folder that cannot be written is known before the work
  std::deque<ScanJournal> journals;
  ModelFacts facts;  // of the last model
  std::string first;
  for (const std::string& address : models) {
    const Model model = Model::open(model_folder(address));
    const auto tokenizer = open_tokenizer(model.folder());
    journals.emplace_back(out / fmt::format(".journal-{}", journals.size() + 1));
    ScanResult scan = scan_states(model, *tokenizer, options_of(command, model), journals.back());
    scan.model_name = readable_name(address, model);
    facts = model_facts(scan);
    if (first.empty()) first = facts.name;
    each(model, std::move(scan));
  }
  const AnalysisOutput result = output();
  const std::string heading =
      models.size() == 1 ? "" : fmt::format("{} models, {} to {}", models.size(), first, facts.name);
  const auto missing = write_analysis(result, facts, clock.info(), out, heading);
  for (ScanJournal& journal : journals) journal.clear();
  print_result(command.json ? result.json : result_text(result, out), missing);
}

}  // namespace defectoscope
