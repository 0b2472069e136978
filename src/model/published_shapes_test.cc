// Shapes of published models, by the settings their config.json have, without weights.

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "checkpoint/test_files.h"
#include "model/config.h"
#include "model/inspect.h"
#include "model/tensor_plan.h"

namespace defectoscope {
namespace {

using nlohmann::json;

json published() {
  const std::string folder = DEFECTOSCOPE_SOURCE_DIR "/src/model/testdata/";
  return json::parse(read_file(folder + "published_configs.json"));
}

/// Parameters of a checkpoint of that shape. `optional`: ends of names of tensors that this one has and
/// others of its family lack.
Index parameters(const ModelConfig& config, const std::vector<std::string>& optional) {
  Index sum = 0;
  for (const TensorSlot& slot : tensor_plan(config, config.architecture->names.prefixes.front())) {
    const auto ends = [&](const std::string& end) { return slot.name.ends_with(end); };
    if (!slot.required && std::ranges::none_of(optional, ends)) continue;
    Index size = 1;
    for (const Index length : slot.shape) size *= length;
    sum += size;
  }
  return sum;
}

TEST(PublishedShapes, HaveAsManyParametersAsTheirPublishersCount) {
  for (const json& model : published()) {
    const ModelConfig config = parse_config(model["config"].dump(), model["name"]);
    EXPECT_EQ(parameters(config, model.value("optional", std::vector<std::string>{})),
              model["parameters"].get<Index>())
        << model["name"];
  }
}

TEST(PublishedShapes, AreInspectedWithoutWeights) {
  const testing_files::TemporaryFolder folder;
  for (const json& model : published()) {
    SCOPED_TRACE(model["name"]);
    write_file(folder / "config.json", model["config"].dump());
    const Inspection found = inspect_model(folder.path());
    EXPECT_FALSE(found.weights);
    EXPECT_FALSE(found.usable());
    EXPECT_EQ(found.fingerprint, "");
    const ModelConfig& config = found.config;
    ASSERT_FALSE(found.missing.empty());
    EXPECT_EQ(found.missing.front().shape, (std::vector{config.vocab_size, config.embedding_size}));
    const auto counted = model["parameters"].get<Index>();
    EXPECT_TRUE(model.contains("optional") ? found.parameters < counted : found.parameters == counted);
  }
}

TEST(PublishedShapes, CoverEveryFamily) {
  std::set<std::string_view> covered;
  for (const json& model : published())
    covered.insert(parse_config(model["config"].dump(), model["name"]).architecture->name);
  for (const ArchitectureSpec& row : architectures()) EXPECT_TRUE(covered.contains(row.name)) << row.name;
}

}  // namespace
}  // namespace defectoscope
