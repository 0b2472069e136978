#pragma once

#include <filesystem>
#include <string>

namespace defectoscope {

/// Runs gnuplot on `script` once for each format: <folder>/<name>.{svg,pdf,png}, for a column of a two-column
/// paper (PDF 3.5 in wide, fonts embedded). All three appear or none; false where gnuplot is missing or
/// failed.
bool run_gnuplot(const std::string& script, const std::string& name, const std::filesystem::path& folder);

/// Text inside gnuplot's double quotes; with `noenhanced` beside it nothing in it is markup.
std::string gnuplot_quoted(const std::string& text);

}  // namespace defectoscope
