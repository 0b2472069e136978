#include "registry/registry.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/error.h"
#include "cli/app.h"
#include "cli/common.h"
#include "cli/model_list.h"
#include "cli/signature_source.h"
#include "hub/repo.h"
#include "lineage/signature_file.h"
#include "report/registry_report.h"

namespace defectoscope {
namespace {

/// Signature files added in one go.
constexpr std::size_t kBatch = 64;

struct RegistryCommand {
  CommonOptions common;
  std::vector<std::string> models;
  std::string database = default_registry(), name;
  Index top = 10;
  int wait_seconds = 10;
  bool replace = false, paper = false, json = false, csv = false;

  Registry open(Access access) const { return Registry::open(database, access, wait_seconds); }
  SignatureOptions signature() const {
    SignatureOptions options;
    if (paper) options.form = SignatureForm::kPaper;
    return options;
  }
};

CLI::App& add_action(CLI::App& registry, RegistryCommand& options, const char* name, const char* help) {
  CLI::App* action = registry.add_subcommand(name, help);
  action
      ->add_option("--database", options.database,
                   "The registry: an SQLite file, or postgresql://USER@HOST/DATABASE")
      ->type_name("WHERE");
  action->add_option("--wait", options.wait_seconds, "How long to wait for another writer")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str()
      ->type_name("SECONDS");
  return *action;
}

void add_output(CLI::App& action, RegistryCommand& options) {
  CLI::Option* json = action.add_flag("--json", options.json, "Print JSON instead of text");
  action.add_flag("--csv", options.csv, "Print CSV instead of text")->excludes(json);
}

void add_paper(CLI::App& action, RegistryCommand& options) {
  action.add_flag("--paper-parity", options.paper,
                  "Of models: directions as the paper's authors compute them, not in canonical form");
  add_threads(action, options.common);
}

/// The name to keep a model under where none is given: a hub address' own, since its folder's is a hash.
std::string name_of(const std::string& model, const Signature& signature) {
  return is_hub_address(model) ? parse_repo(model).text() : signature.model;
}

void run_add(const RegistryCommand& command) {
  const std::vector<std::string> models = expanded(command.models);
  if (!command.name.empty() && models.size() != 1)
    throw Error(ErrorKind::kUsage, "--name names one model; several keep the names they have");
  // Before anything is computed: whether there is something to write to.
  Registry registry = command.open(Access::kWrite);
  std::vector<NamedSignature> batch;
  const auto write = [&] {
    for (const Added& added : registry.add(batch, command.replace))
      std::fputs(added_text(added).c_str(), stdout);
    std::fflush(stdout);
    batch.clear();
  };
  for (const std::string& model : models) {
    const bool file = is_signature_file(model);
    try {
      Signature signature = signature_of(model, command.signature());
      const std::string name = command.name.empty() ? name_of(model, signature) : command.name;
      batch.push_back({name, std::move(signature)});
    } catch (...) {
      if (!batch.empty()) write();  // what was read before this one is not lost
      throw;
    }
    if (!file || batch.size() == kBatch) write();
  }
  if (!batch.empty()) write();
}

void print(const RegistryCommand& command, const std::string& text, const std::string& json,
           const std::string& csv) {
  std::fputs((command.json ? json : command.csv ? csv : text).c_str(), stdout);
}

void run_list(const RegistryCommand& command) {
  Registry registry = command.open(Access::kRead);
  const std::vector<RegisteredModel> models = registry.list();
  const std::string& place = registry.database().name();
  print(command, registry_list_text(models, place), registry_list_json(models, place),
        registry_list_csv(models));
}

void run_search(const RegistryCommand& command) {
  Registry registry = command.open(Access::kRead);
  const SearchResult result =
      registry.search(signature_of(command.models.front(), command.signature()), {.top = command.top});
  const std::string& place = registry.database().name();
  print(command, registry_search_text(result, place), registry_search_json(result, place),
        registry_search_csv(result));
}

void run_remove(const RegistryCommand& command) {
  command.open(Access::kWrite).remove(command.models);
  for (const std::string& name : command.models) fmt::print("{}: removed\n", name);
}

}  // namespace

void add_registry(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "registry", "Keep signatures of known models in a database, and find what a model was made from");
  command->require_subcommand(1);
  command->footer(
      "Without --database: $DEFECTOSCOPE_REGISTRY, else defectoscope/registry.db in $XDG_DATA_HOME or "
      "~/.local/share. docs/registry.md says what is kept and how it is searched.");
  auto options = std::make_shared<RegistryCommand>();

  CLI::App& add =
      add_action(*command, *options, "add",
                 "Add models, or signature files; the same command again goes on where it stopped");
  add.add_option("MODELS", options->models,
                 "Models (as for `scan`) or signature files (*.sig.safetensors), in any mix; patterns too")
      ->required()
      ->expected(1, 1000000)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("PATH");
  add.add_option("--name", options->name, "The name to keep it under; by default its folder's")
      ->type_name("NAME");
  add.add_flag("--replace", options->replace, "Put it in the place of what has that name");
  add_paper(add, *options);
  add.callback([options] {
    apply(options->common);
    run_add(*options);
  });

  CLI::App& list = add_action(*command, *options, "list", "List what is in the registry");
  add_output(list, *options);
  list.callback([options] { run_list(*options); });

  CLI::App& search = add_action(*command, *options, "search",
                                "Find the models nearest to one, each with a verdict and a p-value that is "
                                "corrected for all models searched");
  search.add_option("MODEL", options->models, "A model (as for `scan`) or a signature file")
      ->required()
      ->expected(1)
      ->type_name("PATH");
  search.add_option("--top", options->top, "How many to show")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->type_name("N");
  add_output(search, *options);
  add_paper(search, *options);
  search.callback([options] {
    apply(options->common);
    run_search(*options);
  });

  CLI::App& remove = add_action(*command, *options, "remove", "Remove models: all those named, or none");
  remove.add_option("NAMES", options->models, "Names as `registry list` shows them")
      ->required()
      ->expected(1, 1000000)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("NAME");
  remove.callback([options] { run_remove(*options); });
}

}  // namespace defectoscope
