#pragma once

#include <functional>
#include <string>
#include <vector>

#include "analysis/scan.h"
#include "cli/common.h"
#include "model/model.h"
#include "report/analysis_report.h"

namespace defectoscope {

/// Options of subcommands that lay several models side by side.
struct ModelListCommand {
  CommonOptions common;
  std::vector<std::string> models;
  std::string text, out;
  Index rows = 1000;
  std::uint64_t seed = 0;
  bool json = false;
};
/// `name`: the subcommand's, for the help of --out and --json.
void add_model_list(CLI::App& command, ModelListCommand& options, const std::string& name);

/// The models named, patterns such as 'run/ckpt-*' (or a hub model's revisions, 'hf://org/name@step*')
/// replaced by what they match, in the order of the alphabet. Throws Error(kBadInput) on a pattern that
/// matches nothing, and as hub_revisions does.
std::vector<std::string> expanded(const std::vector<std::string>& models);

/// describe() of each, before anything is computed: what the models' shapes can spoil is known at once.
std::vector<ScanResult> describe_models(const std::vector<std::string>& models);

/// Gives every model and the scan of its states to `each`, one model open at a time, in this order; then
/// writes what `output` makes of them. Journals below --out make an interrupted run resume.
void scan_models(const ModelListCommand& command, const std::string& name,
                 const std::vector<std::string>& models,
                 const std::function<void(const Model&, ScanResult&&)>& each,
                 const std::function<AnalysisOutput()>& output);

}  // namespace defectoscope
