#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "cli/app.h"
#include "hub/disk_space.h"
#include "hub/snapshot.h"
#include "hub/texts.h"

namespace defectoscope {
namespace {

struct DownloadCommand {
  std::string what;
  std::vector<std::string> include;
  int connections = 4;
  bool dry_run = false;
};

void print_plan(const SnapshotPlan& plan, const HubSettings& settings) {
  std::string text = fmt::format("{} at commit {}\n", plan.repo.text(), plan.commit);
  for (const PlannedFile& file : plan.files)
    text += fmt::format("{:>10}  {:<8}  {}\n", size_text(file.size),
                        file.there == file.size ? "there"
                        : file.there > 0        ? "part"
                                                : "missing",
                        file.path);
  text += fmt::format("{:>10}  in {} files; {} to fetch, {} free in {}\n", size_text(plan.bytes()),
                      plan.files.size(), size_text(plan.missing_bytes()),
                      size_text(free_bytes(settings.cache)), settings.cache.string());
  std::fputs(text.c_str(), stdout);
}

void download_texts(const std::vector<const TextSource*>& wanted, bool dry_run, const HubSettings& settings) {
  for (const TextSource* source : wanted) {
    if (dry_run)
      fmt::print("{:>10}  {}: {} from {}\n", size_text(source->archive_size), source->name, source->archive,
                 source->repository.empty() ? source->url : source->repository);
    else
      fmt::print("{}\n", fetch_text(*source, settings).string());
  }
}

void run(const DownloadCommand& command) {
  HubSettings settings = HubSettings::from_environment();
  settings.connections = command.connections;
  const auto texts = known_texts(settings);
  if (command.what == "wikitext-2") {
    std::vector<const TextSource*> both;
    for (const TextSource& source : texts) both.push_back(&source);
    return download_texts(both, command.dry_run, settings);
  }
  if (const TextSource* text = find_text(texts, command.what))
    return download_texts({text}, command.dry_run, settings);
  const SnapshotPlan plan = plan_snapshot(parse_repo(command.what), command.include, settings);
  if (!plan.note.empty()) std::fprintf(stderr, "defectoscope: %s\n", plan.note.c_str());
  if (command.dry_run) return print_plan(plan, settings);
  std::printf("%s\n", download_snapshot(plan, settings).c_str());
}

}  // namespace

void add_download(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "download",
      "Fetch a model from the hub, or the WikiText-2 text, into the cache that huggingface_hub uses too");
  auto options = std::make_shared<DownloadCommand>();
  command
      ->add_option(
          "WHAT", options->what,
          "org/name[@revision]; datasets/org/name[@revision]; or wikitext-2 (both wikitext-2-raw and "
          "wikitext-2-v1)")
      ->required()
      ->type_name("REPOSITORY");
  command
      ->add_option(
          "--include", options->include,
          "Files to fetch, as a shell pattern; may be given again (default: config, tokenizer, weights)")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->expected(1)
      ->type_name("PATTERN");
  command->add_flag("--dry-run", options->dry_run, "List files and sizes; fetch nothing");
  command->add_option("--connections", options->connections, "Files fetched at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 64))
      ->type_name("N");
  command->footer(
      "Prints the folder, or the text's file. The same command resumes what was interrupted. Environment: "
      "HF_TOKEN, "
      "HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE, http_proxy, https_proxy, no_proxy, "
      "CURL_CA_BUNDLE.");
  command->callback([options] { run(*options); });
}

}  // namespace defectoscope
