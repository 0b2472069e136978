#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace defectoscope {

/// The folder of a model on the hub (hf://org/name[@revision]), in the cache shared with huggingface_hub;
/// what is missing is fetched. Says on stderr where it uses the cache because the hub does not answer.
/// Throws Error as plan_snapshot and download_snapshot do.
std::filesystem::path hub_model(const std::string& address);

/// hf://org/name@PATTERN as the addresses of the revisions that match, such as Pythia's 'step*'. Throws Error
/// as matching_revisions does.
std::vector<std::string> hub_revisions(const std::string& address);

/// The file --text stands for: one of known_texts by its name (fetched where it is missing), where no file is
/// called that; else the path as given.
std::filesystem::path text_file(const std::string& text);

}  // namespace defectoscope
