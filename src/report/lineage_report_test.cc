#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lineage/null_law.h"
#include "lineage/synthetic_signatures.h"
#include "report/lineage_text.h"
#include "report/registry_report.h"
#include "report/relations_text.h"
#include "report/test_schema.h"

namespace defectoscope {
namespace {

using testing::HasSubstr;

/// Of `layers` layers; directions are unit vectors along the axes given.
Signature along_axes(const std::string& name, Index width, const std::vector<Index>& axes) {
  Signature s;
  s.model = name;
  s.family = s.model_type = "llama";
  s.fingerprint = name;
  s.hidden_size = width;
  s.layers = std::ssize(axes);
  s.left = s.ffn_left = Matrix(s.layers, width);
  s.singular_values = s.ffn_singular_values = Matrix(s.layers, 2);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto layer = static_cast<Index>(i);
    s.left(layer, axes[i]) = s.ffn_left(layer, axes[i]) = 1;
    s.singular_values(layer, 0) = 5;
  }
  return s;
}

const Signature kA = along_axes("a", 40, {1, 2, 3}), kB = along_axes("b,\"x\"", 40, {1, 2, 9}),
                kWide = along_axes("wide", 50, {1, 2, 3});

TEST(CompareJson, KeepsItsSchemaWhateverWasCompared) {
  EXPECT_EQ(schema_complaints(comparison_json(compare(kA, kB)), "compare.schema.json"), "");
  EXPECT_EQ(schema_complaints(comparison_json(compare(kA, kWide)), "compare.schema.json"), "");
  const Json nothing = Json::parse(comparison_json(compare(kA, kWide)));
  EXPECT_EQ(nothing["verdict"], "not-comparable");
  EXPECT_TRUE(nothing["p_value"].is_null());
  EXPECT_TRUE(nothing["distance_degrees"].is_null());
}

TEST(CompareText, NumbersLayersFromOneAndSaysWhyAKindIsMissing) {
  const std::string text = comparison_text(compare(kA, kB));
  EXPECT_THAT(text, HasSubstr("layers                  0.0°       1"));
  EXPECT_THAT(text, HasSubstr("not compared: tokens: no vocabulary in the signature of a"));
}

TEST(ProbabilityText, IsReadableAtAnySize) {
  EXPECT_EQ(probability_text(std::log(0.25)), "0.25");
  EXPECT_EQ(probability_text(std::log(2.4e-17)), "2.4e-17");
  EXPECT_EQ(probability_text(-2770), "1e-1203");
  EXPECT_EQ(probability_text(std::log(9.99e-10)), "1e-9");
  EXPECT_EQ(probability_text(-std::numeric_limits<double>::infinity()), "0");
}

TEST(LineageReport, KeepsItsSchemaAndTheRulesOfSections) {
  for (const auto& signatures : {std::vector{kA, kB, kWide}, std::vector{kA}, std::vector{kA, kWide}}) {
    const Relations result = relations(signatures);
    EXPECT_EQ(schema_complaints(relations_json(result), "lineage.schema.json"), "");
    check_sections({relations_section(result)});
    EXPECT_THAT(relations_text(result), HasSubstr("cluster 1\n  a\n"));
  }
}

TEST(LineageReport, TheDendrogramIsABridgeAStep) {
  const Section section = relations_section(relations({kA, kB, kWide}));
  const auto dendrogram = std::ranges::find(section.charts, "lineage-dendrogram", &Chart::id);
  ASSERT_NE(dendrogram, section.charts.end());
  const Series& bridges = dendrogram->series.front();
  ASSERT_EQ(bridges.y.size(), 10u);  // two steps of four points and a break
  EXPECT_EQ(bridges.y[0], 0);
  EXPECT_EQ(bridges.y[6], 90);  // the wide one cannot be compared
  EXPECT_TRUE(std::isnan(bridges.y[4]));
}

/// As a search of `models` models would find them.
SearchResult search_result(const Signature& query, const std::vector<Signature>& models) {
  SearchResult result;
  result.query = compared_model(query);
  result.searched = result.compared = std::ssize(models);
  for (const Signature& model : models) {
    const Comparison comparison = among(compare(query, model), result.searched);
    result.found.push_back({model.model, comparison, smallest_distance(comparison)});
  }
  return result;
}

TEST(RegistrySearchReport, KeepsItsSchemaAndSaysWhatWasSearched) {
  const SearchResult result = search_result(kA, {kA, kB, kWide});
  EXPECT_EQ(schema_complaints(registry_search_json(result, "r.db"), "registry-search.schema.json"), "");
  const Json json = Json::parse(registry_search_json(result, "r.db"));
  EXPECT_EQ(json["found"][0]["verdict"], "same-weights");
  EXPECT_TRUE(json["found"][2]["p_value"].is_null());
  const std::string text = registry_search_text(result, "r.db");
  EXPECT_THAT(text, HasSubstr("3 models searched, 3 compared"));
  EXPECT_THAT(text, HasSubstr("the same weights: the fingerprints are equal"));
  EXPECT_THAT(text, HasSubstr("not comparable"));
  EXPECT_THAT(text, HasSubstr("Each p is corrected for 3 models searched."));
  EXPECT_THAT(registry_search_csv(result),
              HasSubstr("\n\"b,\"\"x\"\"\"," + verdict_name(result.found[1].comparison.verdict) + ",0,"));
  EXPECT_THAT(registry_search_text({}, "r.db"), HasSubstr("nothing in it can be compared"));
  EXPECT_EQ(schema_complaints(registry_search_json({}, "r.db"), "registry-search.schema.json"), "");
}

TEST(RegistrySearchReport, SaysBelowWhichPItIsExtrapolatedAsCompareDoes) {
  const Signature base = synthetic::unrelated({}, 1);
  const SearchResult result = search_result(
      base, {synthetic::relative(base, 20, synthetic::Disguise::kNone, 2), synthetic::unrelated({}, 3)});
  const Comparison &related = result.found[0].comparison, &unrelated = result.found[1].comparison;
  ASSERT_EQ(related.verdict, Verdict::kRelated);
  ASSERT_GT(extrapolated_below(related), kPermutationTested);  // unrelated models show less than the laws
  const std::string text = registry_search_text(result, "r.db");
  EXPECT_THAT(text, HasSubstr(extrapolation_note(extrapolated_below(related))));
  EXPECT_THAT(comparison_text(compare(base, synthetic::relative(base, 20, synthetic::Disguise::kNone, 2))),
              HasSubstr(extrapolation_note(extrapolated_below(related))));
  const Json json = Json::parse(registry_search_json(result, "r.db"));
  EXPECT_EQ(json["found"][0]["extrapolated_below"], extrapolated_below(related));
  EXPECT_EQ(json["found"][1]["extrapolated_below"], extrapolated_below(unrelated));

  const std::string nothing =
      registry_search_text(search_result(base, {synthetic::unrelated({}, 3)}), "r.db");
  EXPECT_THAT(nothing, testing::Not(HasSubstr("extrapolated")));
}

TEST(RegistryListReport, KeepsItsSchema) {
  const std::vector<RegisteredModel> models{{.id = 1,
                                             .name = "a, b",
                                             .model = "a",
                                             .family = "llama",
                                             .fingerprint = std::string(64, 'f'),
                                             .hidden_size = 64,
                                             .layers = 6,
                                             .tokens = 1023,
                                             .added = "2026-11-25T17:00:00Z"}};
  EXPECT_EQ(schema_complaints(registry_list_json(models, "r.db"), "registry-list.schema.json"), "");
  EXPECT_EQ(schema_complaints(registry_list_json({}, "r.db"), "registry-list.schema.json"), "");
  EXPECT_THAT(registry_list_text(models, "r.db"), HasSubstr("r.db: 1 model\n"));
  EXPECT_THAT(registry_list_csv(models), HasSubstr("\n\"a, b\",a,llama,canonical,ffff"));
}

}  // namespace
}  // namespace defectoscope
