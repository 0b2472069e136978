#include "registry/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <limits>

#include "base/error.h"
#include "lineage/signature_file.h"
#include "lineage/synthetic_signatures.h"
#include "lineage/test_signatures.h"
#include "registry/test_places.h"

namespace defectoscope {
namespace {

using namespace testing_registry;
using namespace synthetic;
using testing::HasSubstr;

class RegistryOn : public OnBothDatabases {
 protected:
  Registry open(Access access = Access::kWrite) { return Registry::open(place(), access); }
  Registry watched(Moment moment, int n, std::function<void()> hook) {
    return Registry(
        std::make_unique<Watched>(open_database(place(), Access::kWrite, 1), moment, n, std::move(hook)));
  }
  /// Behind the registry's back.
  void change(const std::string& sql, const std::vector<Value>& values) {
    const auto database = open_database(place(), Access::kWrite, 1);
    Transaction transaction(*database, Access::kWrite);
    EXPECT_EQ(database->execute(sql, values), 1);
    transaction.commit();
  }
  std::vector<std::string> names() {
    std::vector<std::string> names;
    for (const RegisteredModel& model : open(Access::kRead).list()) names.push_back(model.name);
    return names;
  }
};
DEFECTOSCOPE_ON_BOTH_DATABASES(RegistryOn);

std::vector<std::string> found_names(const SearchResult& result) {
  std::vector<std::string> names;
  for (const Found& found : result.found) names.push_back(found.name);
  return names;
}

TEST_P(RegistryOn, WhatIsAddedIsListedReadBackAndRemoved) {
  const Signature a = unrelated({}, 1), b = unrelated({.width = 48, .layers = 3, .tokens = 0}, 2);
  const auto added = open().add({{"zeta", a}, {"Übung 'x'); --", b}}, false);
  EXPECT_EQ(added[0].outcome, AddOutcome::kAdded);
  EXPECT_EQ(names(), (std::vector<std::string>{"zeta", "Übung 'x'); --"}));
  const RegisteredModel listed = open(Access::kRead).list()[1];
  EXPECT_EQ(listed.model, "model-2");
  EXPECT_EQ(listed.fingerprint, "weights-2");
  EXPECT_EQ(listed.hidden_size, 48);
  EXPECT_EQ(listed.layers, 3);
  EXPECT_EQ(listed.tokens, 0);
  EXPECT_EQ(listed.added.size(), 20u);
  EXPECT_EQ(signature_bytes(open(Access::kRead).signature("zeta")).size(), signature_bytes(a).size());
  EXPECT_NEAR(*compare(open(Access::kRead).signature("zeta"), a).distance_degrees, 0, 0.1);

  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { open().remove({"zeta", "nobody"}); }),
              testing::AllOf(HasSubstr("nobody"), HasSubstr("registry list")));
  EXPECT_EQ(names().size(), 2u);  // all or none
  open().remove({"zeta"});
  EXPECT_EQ(names(), std::vector<std::string>{"Übung 'x'); --"});
  EXPECT_THAT(found_names(open().search(a)), testing::Not(testing::Contains("zeta")));
}

TEST_P(RegistryOn, ANameStandsForOneModelUntilItIsReplaced) {
  Registry registry = open();
  registry.add({{"a", unrelated({}, 1)}}, false);
  EXPECT_EQ(registry.add({{"a", unrelated({}, 1)}}, false)[0].outcome, AddOutcome::kUnchanged);
  EXPECT_THAT(message_of(ErrorKind::kUsage,
                         [&] { registry.add({{"new", unrelated({}, 3)}, {"a", unrelated({}, 2)}}, false); }),
              testing::AllOf(HasSubstr("weights-1"), HasSubstr("weights-2"), HasSubstr("--replace")));
  EXPECT_EQ(names(), std::vector<std::string>{"a"});  // nor the one before it
  EXPECT_EQ(registry.add({{"a", unrelated({}, 2)}}, true)[0].outcome, AddOutcome::kReplaced);
  EXPECT_EQ(registry.list()[0].fingerprint, "weights-2");
  EXPECT_EQ(registry.search(unrelated({}, 2)).searched, 1);
  EXPECT_THROW(registry.add({{"x", unrelated({}, 5)}, {"x", unrelated({}, 6)}}, false), Error);
}

TEST_P(RegistryOn, TheSameWeightsAreKnownUnderAnotherName) {
  Registry registry = open();
  registry.add({{"a", unrelated({}, 1)}}, false);
  const Added again = registry.add({{"b", unrelated({}, 1)}}, false)[0];
  EXPECT_EQ(again.outcome, AddOutcome::kKnown);
  EXPECT_EQ(again.known_as, "a");
  // The other form of the same weights is another signature.
  Signature paper = unrelated({}, 1);
  paper.form = SignatureForm::kPaper;
  EXPECT_EQ(registry.add({{"b", paper}}, false)[0].outcome, AddOutcome::kAdded);
  const SearchResult result = registry.search(unrelated({}, 1));
  EXPECT_EQ(result.searched, 1);
  EXPECT_EQ(result.of_other_form, 1);
  EXPECT_EQ(result.found.at(0).comparison.verdict, Verdict::kSameWeights);
}

TEST_P(RegistryOn, BadNamesAndBrokenSignaturesAreRefusedAndNothingIsWritten) {
  Registry registry = open();
  for (const std::string& name :
       {std::string(), std::string("a\nb"), std::string("\xff"), std::string(300, 'x')})
    EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { registry.add({{name, unrelated({}, 1)}}, false); }),
                HasSubstr("--name"));
  Signature broken = unrelated({}, 1);
  broken.left(1, 3) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(message_of(ErrorKind::kBadInput,
                         [&] { registry.add({{"good", unrelated({}, 2)}, {"nan", broken}}, false); }),
              testing::AllOf(HasSubstr("nan"), HasSubstr("layer 2")));
  EXPECT_THAT(names(), testing::IsEmpty());
}

constexpr Shape kSearched{.width = 64, .layers = 6, .tokens = 96};

TEST_P(RegistryOn, RelativesAreFoundByEveryKindOfEvidence) {
  Registry registry = open();
  const Signature base = unrelated(kSearched, 1);
  std::vector<NamedSignature> models{{"tuned", relative(base, 15, Disguise::kNone, 1001)},
                                     {"rotated", relative(base, 15, Disguise::kRotated, 1002)},
                                     {"grown", relative(base, 15, Disguise::kOtherWidth, 1003)},
                                     {"dropped", relative(base, 15, Disguise::kShifted, 1004)},
                                     {"one-layer", relative(base, 15, Disguise::kOneLayer, 1005)}};
  for (std::uint64_t seed = 2; seed < 60; ++seed)
    models.push_back({"other-" + std::to_string(seed),
                      unrelated({.width = seed % 2 == 0 ? 64 : 32, .layers = 6, .tokens = 96}, seed)});
  registry.add(models, false);

  const SearchResult result = registry.search(base, {.top = 7});
  EXPECT_EQ(result.searched, 63);
  EXPECT_EQ(result.compared, 24);
  ASSERT_EQ(result.found.size(), 7u);
  EXPECT_THAT(found_names(result),
              testing::IsSupersetOf({"tuned", "rotated", "grown", "dropped", "one-layer"}));
  for (std::size_t i = 0; i < 7; ++i) {
    const Found& found = result.found[i];
    EXPECT_EQ(found.comparison.verdict, i < 5 ? Verdict::kRelated : Verdict::kNoEvidence) << found.name;
    // The p-value is that of compare(), paid for all 63 models.
    const Comparison alone = compare(base, registry.signature(found.name));
    EXPECT_NEAR(*found.comparison.log_p, std::min(0.0, *alone.log_p + std::log(63)), 1e-9) << found.name;
  }
  EXPECT_EQ(found_names(result), found_names(registry.search(base, {.top = 7})));
}

TEST_P(RegistryOn, SearchIsTheExactScanWhereAllAreCandidates) {
  Registry registry = open();
  const Signature query = unrelated(kSearched, 1);
  std::vector<NamedSignature> models;
  for (std::uint64_t seed = 2; seed < 14; ++seed)
    models.push_back({"m" + std::to_string(seed),
                      seed % 3 == 0
                          ? relative(query, 15 + 3 * static_cast<double>(seed), Disguise::kNone, seed)
                          : unrelated(kSearched, seed)});
  registry.add(models, false);
  std::vector<std::pair<double, std::string>> exact;
  for (const NamedSignature& model : models)
    exact.emplace_back(std::min(0.0, *compare(query, model.signature).log_p + std::log(12)), model.name);
  std::ranges::sort(exact);
  const SearchResult result = registry.search(query, {.top = 12, .candidates = 100});
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(result.found[i].name, exact[i].second);
}

TEST_P(RegistryOn, OfOtherWidthsWithoutSharedTokensNeitherDirectionsNorTokensAreCompared) {
  Registry registry = open();
  registry.add({{"a", unrelated({.width = 32}, 1, 7)}, {"b", unrelated({.width = 48}, 2, 8)}}, false);
  const SearchResult result = registry.search(unrelated({.width = 64}, 3, 9));
  EXPECT_EQ(result.searched, 2);
  ASSERT_EQ(result.found.size(), 2u);
  for (const Found& found : result.found) {
    EXPECT_THAT(found.comparison.verdict, testing::AnyOf(Verdict::kNotComparable, Verdict::kNoEvidence));
    EXPECT_FALSE(found.distance_degrees);
    EXPECT_THAT(found.comparison.evidence.at(4).not_compared, HasSubstr("different vocabularies"));
  }
}

TEST_P(RegistryOn, AnEditedSignatureIsFoundByItsChecksum) {
  open().add({{"a", unrelated({}, 1)}}, false);
  std::string bytes = signature_bytes(unrelated({}, 1));
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  change("UPDATE defectoscope_signatures SET bytes = $1", {Bytes{bytes}});
  const auto says = testing::AllOf(HasSubstr(", a"), HasSubstr("changed after it was written"));
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { open().search(unrelated({}, 1)); }), says);
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { open().signature("a"); }), says);
}

TEST_P(RegistryOn, ACutSketchIsNamed) {
  open().add({{"a", unrelated({}, 1)}, {"b", unrelated({}, 2)}}, false);
  change("UPDATE defectoscope_direction_sketches SET bits = $1 WHERE model = 1", {Bytes{"short"}});
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { open().search(unrelated({}, 1), {.candidates = 1}); }),
              testing::AllOf(HasSubstr("sketch"), HasSubstr("model 1")));
}

TEST_P(RegistryOn, OfTheFirstSchemaItsSketchesAreMadeAnewFromTheSignatures) {
  open().add({{"a", unrelated({}, 1)}, {"b", unrelated({}, 2)}}, false);
  const auto sketches = [&] {
    std::vector<std::string> bits;
    const auto database = open_database(place(), Access::kRead, 1);
    Transaction transaction(*database, Access::kRead);
    database->query("SELECT bits FROM defectoscope_direction_sketches ORDER BY model", {},
                    [&](const Row& row) { bits.emplace_back(row.bytes(0)); });
    return bits;
  };
  const std::vector<std::string> before = sketches();
  change("UPDATE defectoscope_direction_sketches SET bits = $1 WHERE model = 1",
         {Bytes{std::string(128, 'x')}});
  change("DELETE FROM defectoscope_schema WHERE version = 2", {});
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { open(Access::kRead); }),
              testing::AllOf(HasSubstr("older schema"), HasSubstr("registry add")));
  open();
  EXPECT_EQ(sketches(), before);
}

TEST_P(RegistryOn, AWriterKilledInMidWriteLeavesNothingOfItBehind) {
  open().add({{"before", unrelated({}, 1)}}, false);
  const int status = in_a_child([&] {
    // Four statements a model: the second model's first two.
    Registry dying = watched(Moment::kChange, 6, [] { raise(SIGKILL); });
    dying.add({{"half", unrelated({}, 2)}, {"never", unrelated({}, 3)}}, false);
    return 0;
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(names(), std::vector<std::string>{"before"});
  open().add({{"after", unrelated({}, 2)}}, false);
  EXPECT_EQ(names(), (std::vector<std::string>{"after", "before"}));
  EXPECT_EQ(open().search(unrelated({}, 2)).found.at(0).name, "after");
}

TEST_P(RegistryOn, AServerGoneInMidWriteLosesNothingAndKeepsNoHalf) {
  if (GetParam() == Kind::kSqlite) return;  // has no server
  PostgresServer& server = *PostgresServer::shared();
  open().add({{"before", unrelated({}, 1)}}, false);
  Registry registry = watched(Moment::kChange, 6, [&] { server.crash(); });
  const std::string message = message_of(ErrorKind::kResources, [&] {
    registry.add({{"half", unrelated({}, 2)}, {"never", unrelated({}, 3)}}, false);
  });
  EXPECT_THAT(message, testing::AllOf(HasSubstr("nothing of what was being written is there"),
                                      HasSubstr("the same command again")));
  EXPECT_THAT(message_of(ErrorKind::kResources, [&] { open(Access::kRead); }),
              HasSubstr("cannot be reached"));
  server.start();
  EXPECT_EQ(names(), std::vector<std::string>{"before"});
  open().add({{"half", unrelated({}, 2)}, {"never", unrelated({}, 3)}}, false);
  EXPECT_EQ(names().size(), 3u);
}

TEST_P(RegistryOn, AServerGoneWhileItConfirmsLeavesAllOrNothing) {
  if (GetParam() == Kind::kSqlite) return;  // has no server
  PostgresServer& server = *PostgresServer::shared();
  open().add({{"before", unrelated({}, 1)}}, false);
  Registry registry = watched(Moment::kCommit, 1, [&] { server.crash(); });
  EXPECT_THAT(message_of(ErrorKind::kResources,
                         [&] { registry.add({{"x", unrelated({}, 2)}, {"y", unrelated({}, 3)}}, false); }),
              testing::AllOf(HasSubstr("there whole, or not at all"), HasSubstr("registry list")));
  server.start();
  EXPECT_THAT(names(),
              testing::AnyOf(testing::ElementsAre("before"), testing::ElementsAre("before", "x", "y")));
  open().add({{"x", unrelated({}, 2)}, {"y", unrelated({}, 3)}}, false);  // does no harm either way
  EXPECT_THAT(names(), testing::ElementsAre("before", "x", "y"));
}

TEST_P(RegistryOn, AServerGoneInMidSearchIsSaidAndAnotherSearchFindsTheModel) {
  if (GetParam() == Kind::kSqlite) return;  // has no server
  PostgresServer& server = *PostgresServer::shared();
  open().add({{"a", unrelated({}, 1)}}, false);
  Registry registry = watched(Moment::kQuestion, 3, [&] { server.crash(); });
  EXPECT_THAT(message_of(ErrorKind::kResources, [&] { registry.search(unrelated({}, 1)); }),
              HasSubstr("the connection to the registry was lost"));
  server.start();
  EXPECT_EQ(open(Access::kRead).search(unrelated({}, 1)).found.at(0).name, "a");
}

TEST_P(RegistryOn, BesideAnotherWriterNothingIsWrittenAndReadersGoOn) {
  open().add({{"before", unrelated({}, 1)}}, false);
  Registry hasty = Registry::open(place(), Access::kWrite, 0);
  const auto other = open_database(place(), Access::kWrite, 1);
  {
    Transaction writing(*other, Access::kWrite);
    for (const bool replace : {false, true})
      EXPECT_THAT(
          message_of(ErrorKind::kResources, [&] { hasty.add({{"before", unrelated({}, 2)}}, replace); }),
          testing::AllOf(HasSubstr("locked by another writer"), HasSubstr("--wait")));
    EXPECT_THAT(message_of(ErrorKind::kResources, [&] { hasty.remove({"before"}); }), HasSubstr("locked"));
    EXPECT_EQ(open(Access::kRead).search(unrelated({}, 1)).found.at(0).name, "before");
  }
  EXPECT_EQ(open(Access::kRead).list().at(0).fingerprint, "weights-1");
  hasty.add({{"after", unrelated({}, 2)}}, false);
  EXPECT_THAT(names(), testing::ElementsAre("after", "before"));
}

TEST_P(RegistryOn, ModelsOfOneLayerAreFoundByIt) {
  Registry registry = open();
  const Shape shape{.width = 64, .layers = 1, .tokens = 96};
  const Signature query = unrelated(shape, 1);
  std::vector<NamedSignature> models{{"relative", relative(query, 20, Disguise::kNone, 2)}};
  for (std::uint64_t seed = 10; seed < 40; ++seed)
    models.push_back({"other-" + std::to_string(seed), unrelated(shape, seed)});
  registry.add(models, false);
  const SearchResult result = registry.search(query, {.top = 2});
  EXPECT_EQ(result.found.at(0).name, "relative");
  EXPECT_EQ(result.found.at(0).comparison.verdict, Verdict::kRelated);
  EXPECT_EQ(result.found.at(1).comparison.verdict, Verdict::kNoEvidence);
  EXPECT_THAT(result.found.at(0).comparison.evidence.at(6).not_compared, HasSubstr("1 layers"));
}

TEST(RegistryOfTheZoo, LlamaBaseFindsWhatWasMadeFromItAndNothingElse) {
  const testing_files::TemporaryFolder folder;
  Registry registry = Registry::open(folder / "zoo.db", Access::kWrite);
  for (const char* name :
       {"llama-base-ft-lora", "llama-base-ckpt-2400", "llama-wide", "llama-seed2", "gpt2-mini", "neox-mini"})
    registry.add({{name, testing_lineage::signature_of(name)}}, false);
  const SearchResult result = registry.search(testing_lineage::signature_of("llama-base"));
  ASSERT_EQ(result.found.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) {
    const bool related =
        result.found[i].name == "llama-wide" || result.found[i].name.starts_with("llama-base");
    EXPECT_EQ(related, i < 3) << result.found[i].name;
    EXPECT_EQ(result.found[i].comparison.verdict, related ? Verdict::kRelated : Verdict::kNoEvidence);
  }
}

}  // namespace
}  // namespace defectoscope

/// libpqxx 6.4 drops the answer of a query whose connection broke while it ran, without freeing it, in
/// several places.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libpqxx\n"; }
