#include "cli/common.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "cli/hub_model.h"
#include "hub/repo.h"
#include "model/model.h"

namespace defectoscope {
namespace {

constexpr const char* kWhatModelIs =
    "A model: a Hugging Face folder (config.json, tokenizer files, *.safetensors or pytorch_model*.bin), a "
    ".gguf file, llama2.c's .bin, or hf://org/name[@revision] for one on the hub";

}  // namespace

void add_model(CLI::App& command, CommonOptions& options, bool optional) {
  CLI::Option* model = command.add_option(
      "MODEL", options.model,
      optional
          ? std::string(kWhatModelIs) + "; without it, the small default model that comes with the program"
          : std::string(kWhatModelIs));
  model->type_name("PATH");
  if (!optional) model->required();
  command
      .add_option("--family", options.family,
                  "Compute as this family does, whatever config.json's model_type says (names: "
                  "docs/families.md)")
      ->type_name("NAME");
  command
      .add_option("--adapter", options.adapter,
                  "A LoRA adapter, as PEFT saves one (adapter_config.json and weights), or hf://org/name: "
                  "merged on reading")
      ->type_name("DIR");
}

void add_rows(CLI::App& command, Index& rows, const std::string& help) {
  command.add_option("--rows", rows, help)
      ->capture_default_str()
      ->check(CLI::Range(Index{1}, Index{1000000}))
      ->type_name("N");
}

void add_threads(CLI::App& command, CommonOptions& options) {
  command
      .add_option("--threads", options.threads,
                  "Threads to use; results do not depend on it (default: all processors)")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
}

void apply(const CommonOptions& options) {
  if (options.threads > 0) set_thread_count(options.threads);
}

std::vector<std::string>& program_arguments() {
  static std::vector<std::string> arguments;
  return arguments;
}

std::filesystem::path output_folder(const std::string& out, const Model& model, const std::string& suffix) {
  std::filesystem::path folder =
      out.empty() ? std::filesystem::path("defectoscope-out") / (model.name() + "-" + suffix)
                  : std::filesystem::path(out);
  make_folder(folder);
  AtomicFile probe(folder / "results.json");
  return folder;
}

void print_result(const std::string& text, const std::vector<std::string>& missing) {
  std::fputs(text.c_str(), stdout);
  for (const std::string& sentence : missing) std::fprintf(stderr, "defectoscope: %s\n", sentence.c_str());
}

RunClock::RunClock()
    : begin_(std::chrono::steady_clock::now()),
      started_(fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))) {}

RunInfo RunClock::info() const {
  return {.command = program_arguments(),
          .started = started_,
          .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(),
          .threads = thread_count(),
          .phases = Progress::measured()};
}

std::filesystem::path model_folder(const std::string& model) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (is_hub_address(model)) return hub_model(model);
  if (!model.empty()) {
    if (!fs::exists(model, error))
      throw_bad_input({.what = "no such model",
                       .file = model,
                       .expected = kWhatModelIs,
                       .hint = "check the path; `defectoscope scan` without MODEL shows the default model"});
    return model;
  }
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  for (const fs::path& candidate :
       {program.parent_path().parent_path() / "share/defectoscope/models/llama-base",
        fs::path(DEFECTOSCOPE_DEFAULT_MODEL)})
    if (fs::is_directory(candidate, error)) return candidate;
  throw_bad_input({.what = "the default model is not installed",
                   .file = DEFECTOSCOPE_DEFAULT_MODEL,
                   .hint = "give MODEL, or run `make install`"});
}

Model open_model(const CommonOptions& options) {
  return Model::open(model_folder(options.model), open_options(options));
}

OpenOptions open_options(const CommonOptions& options) {
  return {.family = options.family,
          .adapter = is_hub_address(options.adapter) ? hub_model(options.adapter)
                                                     : std::filesystem::path(options.adapter)};
}

}  // namespace defectoscope
