// The zoo's models are what their READMEs say: bytes, and what our own scan finds in them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "base/files.h"
#include "base/sha256.h"
#include "program.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path zoo() { return fs::path(DEFECTOSCOPE_SOURCE_DIR) / "zoo"; }

std::vector<fs::path> zoo_models() {
  std::vector<fs::path> models;
  for (const auto& entry : fs::directory_iterator(zoo()))
    if (fs::exists(entry.path() / "model.safetensors")) models.push_back(entry.path());
  return models;
}

json scan_of(const std::string& model, const std::vector<std::string>& more = {}) {
  const fs::path out = fs::temp_directory_path() / ("defectoscope-zoo-" + std::to_string(getpid()));
  std::vector<std::string> arguments{"scan", (zoo() / model).string(), "--out", out.string(), "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Outcome outcome = run_defectoscope(arguments);
  fs::remove_all(out);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return json::parse(outcome.out);
}

const json& layer(const json& results, int number) {
  return results["layers"][static_cast<std::size_t>(number - 1)];
}

TEST(Zoo, WeightsAreTheOnesTheirReadmesNameByHash) {
  const auto models = zoo_models();
  EXPECT_GE(models.size(), 10u);
  for (const fs::path& model : models) {
    const std::string readme = read_file(model / "README.md");
    std::smatch hash;
    ASSERT_TRUE(std::regex_search(readme, hash, std::regex("sha256 of model.safetensors: ([0-9a-f]{64})")))
        << model;
    const MappedFile file(model / "model.safetensors");
    Sha256 sum;
    sum.update(file.bytes());
    EXPECT_EQ(sum.hex_digest(), hash[1]) << model;
  }
}

TEST(Zoo, ModelsTogetherStayUnder48Megabytes) {
  std::uintmax_t bytes = 0;
  for (const fs::path& model : zoo_models())
    for (const auto& file : fs::recursive_directory_iterator(model)) bytes += file.file_size();
  EXPECT_LT(bytes, 48'000'000u);
}

TEST(Zoo, LlamaBaseShowsTheFullLifeCycle) {
  const json results = scan_of("llama-base");
  EXPECT_GE(results["high_norm"]["median_ratio"], 20);
  EXPECT_LT(results["high_norm"]["mean_pairwise_angle_degrees"], 10);
  ASSERT_EQ(results["explosion_layers"].size(), 1u);
  EXPECT_EQ(results["explosion_layers"][0]["layer"], 1);
  ASSERT_EQ(results["decay_layers"].size(), 1u);
  EXPECT_EQ(results["decay_layers"][0]["layer"], 6);
  bool initial = false;
  bool non_initial = false;
  for (const json& token : results["high_norm"]["tokens"]) {
    initial |= token["initial"].get<bool>();
    non_initial |= token["non_initial"].get<bool>();
  }
  EXPECT_TRUE(initial);
  EXPECT_TRUE(non_initial);
  // What the weights predict: F at the explosion, L and an eigenvector at the decay; what the layer does.
  EXPECT_LT(layer(results, 1)["ffn_left_angle_degrees"], 12);
  EXPECT_LT(layer(results, 6)["left_angle_degrees"], 25);
  EXPECT_LT(layer(results, 6)["eigenvalue"]["re"], -1);
  EXPECT_LT(layer(results, 6)["eigenvector_angle_degrees"], 25);
  EXPECT_NEAR(layer(results, 6)["decay_ratio"].get<double>(), -1, 0.3);
}

/// Rows of a Markdown table by their first cell.
std::map<std::string, std::vector<std::string>> table_rows(const std::string& text) {
  std::map<std::string, std::vector<std::string>> rows;
  const std::regex row("\\| `([a-z0-9-]+)` (\\|.*)");
  for (std::sregex_iterator match(text.begin(), text.end(), row), end; match != end; ++match) {
    std::istringstream cells((*match)[2].str());
    for (std::string cell; std::getline(cells, cell, '|');)
      if (!cell.empty()) rows[(*match)[1]].push_back(cell);
  }
  return rows;
}

/// Every model, scanned on the held-out page: the README's table is what our own scan finds.
TEST(Zoo, TheReadmesTableIsWhatScanFindsInEveryModel) {
  const Outcome outcome = run_defectoscope({zoo().string()}, {.program = "zoo/zoo_table", .folder = {}});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto found = table_rows(outcome.out), said = table_rows(read_file(zoo() / "README.md"));
  EXPECT_GE(found.size(), zoo_models().size());
  for (const auto& [model, cells] : found) {
    SCOPED_TRACE(model);
    ASSERT_TRUE(said.contains(model));
    const auto& expected = said.at(model);
    ASSERT_EQ(cells.size(), expected.size());
    for (std::size_t i = 0; i < cells.size(); ++i) {
      char* end = nullptr;
      const double value = std::strtod(expected[i].c_str(), &end);
      if (end == expected[i].c_str())
        EXPECT_EQ(cells[i], expected[i]);
      else  // printed to so many digits; other processors round otherwise
        EXPECT_NEAR(std::strtod(cells[i].c_str(), nullptr), value, 0.03 * std::abs(value) + 1) << i;
    }
  }
}

TEST(Zoo, TheFirstSnapshotHasNoHighNormTokenAndTheLastHas) {
  EXPECT_EQ(scan_of("llama-base-ckpt-0")["high_norm"]["count"], 0);
  EXPECT_GT(scan_of("llama-base-ckpt-2400")["high_norm"]["count"], 0);
}

TEST(Zoo, ModelsWithoutACausalMaskAreScannedOnDrawnEntries) {
  for (const char* model : {"bert-mini", "bidirectional-prenorm"}) {
    const json results = scan_of(model, {"--rows", "64"});
    EXPECT_EQ(results["calibration"]["source"], "random vocabulary entries") << model;
    EXPECT_EQ(results["layers"].size(), 6u);
    EXPECT_THAT(results["notes"].dump(), testing::HasSubstr("--text FILE")) << model;
  }
}

TEST(Zoo, DistillationHandsOverTheOutputsNotTheNorms) {
  const json high = scan_of("llama-distilled")["high_norm"];
  EXPECT_TRUE(high["count"] == 0 || high["median_ratio"] < 5) << high.dump();
}

}  // namespace
}  // namespace defectoscope
