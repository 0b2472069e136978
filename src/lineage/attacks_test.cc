#include "lineage/attacks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/test_files.h"
#include "forward/transformer.h"
#include "lineage/compare.h"
#include "lineage/logit_difference.h"
#include "lineage/moved_tokens.h"

namespace defectoscope {
namespace {

using testing::HasSubstr;
using testing_files::TemporaryFolder;

const std::string kZoo = DEFECTOSCOPE_SOURCE_DIR "/zoo/";

EditableModel editable(const std::string& name) { return EditableModel(Model::open(kZoo + name)); }

void attack(EditableModel& model, std::string_view text, EditableModel* other = nullptr) {
  const ChosenAttack chosen = parse_attack(text);
  Random random(7);
  chosen.attack->apply(model, {chosen.strength, random, other});
}

Signature signature_of(const std::filesystem::path& folder, SignatureForm form = SignatureForm::kCanonical) {
  return compute_signature(Model::open(folder), open_tokenizer(folder).get(), {.form = form});
}

TEST(Attacks, FunctionPreservingOnesPreserveLogits) {
  for (const std::string name : {"llama-base", "gpt2-mini", "neox-mini"}) {
    for (const Attack& a : attacks()) {
      if (!a.preserves_function) continue;
      EditableModel model = editable(name);
      try {
        attack(model, a.name);
      } catch (const Error& refused) {
        EXPECT_NE(name, "llama-base") << a.name << ": " << refused.what();
        EXPECT_EQ(refused.kind(), ErrorKind::kUsage);
        continue;
      }
      const TemporaryFolder folder;
      model.write(folder / "out");
      const Model before = Model::open(kZoo + name), after = Model::open(folder / "out");
      EXPECT_LT(logit_difference(before, after), 1e-4) << name << " " << a.name;
      EXPECT_EQ(text_is_cut_alike(before, after), true) << name << " " << a.name;
    }
  }
}

TEST(Attacks, DamagingOnesChangeLogitsAndMoreWithStrength) {
  EditableModel other = editable("llama-seed2");
  const auto change = [&](const std::string& text) {
    EditableModel model = editable("llama-base");
    attack(model, text, &other);
    const TemporaryFolder folder;
    model.write(folder / "out");
    return logit_difference(Model::open(kZoo + "llama-base"), Model::open(folder / "out"));
  };
  for (const auto& [weak, strong] :
       std::vector<std::pair<std::string, std::string>>{{"noise:0.01", "noise:0.2"},
                                                        {"quantize:8", "quantize:4"},
                                                        {"prune:0.1", "prune:0.5"},
                                                        {"interpolate:0.05", "interpolate:0.5"},
                                                        {"embedding-shuffle:0.1", "embedding-shuffle:1"},
                                                        {"low-rank:0.02", "low-rank:0.5"},
                                                        {"prune-neurons:0.1", "prune-neurons:0.8"},
                                                        {"embedding-noise:0.05", "embedding-noise:0.5"}}) {
    EXPECT_GT(change(weak), 1e-5) << weak;
    EXPECT_GT(change(strong), 2 * change(weak)) << strong;
  }
  EXPECT_GT(change("embedding-replacement"), 0.1);
  EXPECT_GT(change("drop-layers:1"), 1e-3);
  EXPECT_GT(change("duplicate-layers:2"), 1e-3);
}

TEST(Attacks, LayersAreDroppedAndDuplicatedInTheMiddle) {
  EditableModel dropped = editable("llama-base"), doubled = editable("llama-base");
  attack(dropped, "drop-layers:2");
  attack(doubled, "duplicate-layers:2");
  const TemporaryFolder folder;
  dropped.write(folder / "dropped");
  doubled.write(folder / "doubled");
  const Model base = Model::open(kZoo + "llama-base"), four = Model::open(folder / "dropped"),
              eight = Model::open(folder / "doubled");
  ASSERT_EQ(four.config().layers, 4);
  ASSERT_EQ(eight.config().layers, 8);
  const auto same = [&](const Model& model, Index layer, Index of_base) {
    return model.layer(layer).ffn.down.weight.at(3, 5) == base.layer(of_base).ffn.down.weight.at(3, 5);
  };
  EXPECT_TRUE(same(four, 1, 1) && same(four, 2, 4) && same(four, 3, 5));
  EXPECT_TRUE(same(eight, 2, 2) && same(eight, 4, 2) && same(eight, 5, 3) && same(eight, 7, 5));
}

TEST(Attacks, PrunedNeuronsAreGoneFromEveryTensorOfAFamily) {
  for (const char* name : {"llama-base", "gpt2-mini", "neox-mini"}) {
    EditableModel model = editable(name);
    const Index before = model.config().ffn_size;
    attack(model, "prune-neurons:0.25");
    const TemporaryFolder folder;
    model.write(folder / "out");
    const Model pruned = Model::open(folder / "out");
    EXPECT_EQ(pruned.config().ffn_size, before - before / 4) << name;
    EXPECT_EQ(pruned.layer(0).ffn.down.weight.cols, before - before / 4) << name;
    EXPECT_LT(logit_difference(Model::open(kZoo + name), pruned), 0.6) << name;
  }
}

TEST(Attacks, AnExtendedVocabularyHasATokenForEveryRow) {
  EditableModel model = editable("llama-base");
  attack(model, "vocabulary-extension:0.125");
  const TemporaryFolder folder;
  model.write(folder / "out");
  EXPECT_EQ(Model::open(folder / "out").config().vocab_size, 1024 + 128);
  const auto tokenizer = open_tokenizer(folder / "out");
  EXPECT_EQ(tokenizer->size(), 1024 + 128);
  EXPECT_EQ(tokenizer->token(1024 + 127), "<added_1151>");
  EXPECT_EQ(tokenizer->encode("the house", false),
            open_tokenizer(kZoo + "llama-base")->encode("the house", false));
}

constexpr const char* kText = "It was the best of times, ça va\n 1859; \U0001F600 the  end<s>!";

TEST(Attacks, OfAShuffledVocabularyTextGivesTheSameLogitsUnderOtherIds) {
  EditableModel model = editable("llama-base");
  attack(model, "vocabulary-shuffle:1");
  const TemporaryFolder folder;
  model.write(folder / "out");
  const Model before = Model::open(kZoo + "llama-base"), after = Model::open(folder / "out");
  const auto old = open_tokenizer(before.folder()), shuffled = open_tokenizer(after.folder());
  const auto of_old = old->encode(kText, true), of_new = shuffled->encode(kText, true);
  ASSERT_EQ(of_old.size(), of_new.size());
  EXPECT_EQ(of_new.front(), of_old.front());  // the start token stays
  int moved = 0;
  for (std::size_t i = 0; i < of_old.size(); ++i) {
    EXPECT_EQ(shuffled->token(of_new[i]), old->token(of_old[i]));
    moved += of_new[i] != of_old[i] ? 1 : 0;
  }
  EXPECT_GE(moved + 2, std::ssize(of_old));  // all but the start token and the one in the text
  const auto logits = [](const Model& m, const std::vector<TokenId>& tokens) {
    const Transformer transformer(m);
    const Matrix states = transformer.final_states(Batch(std::vector<TokenIds>{tokens}));
    Matrix all(states.rows(), m.config().vocab_size);
    transformer.logits(states, all);
    return all;
  };
  const Matrix x = logits(before, of_old), y = logits(after, of_new);
  for (Index c = 0; c < x.cols(); ++c)
    EXPECT_NEAR(x(x.rows() - 1, c), y(x.rows() - 1, shuffled->find(old->token(static_cast<TokenId>(c)))),
                1e-4);
}

TEST(Attacks, AShuffleGoesTogetherWithAnExtensionAndAnotherShuffle) {
  EditableModel model = editable("llama-base");
  for (const char* text : {"vocabulary-shuffle:0.5", "vocabulary-extension:0.1", "vocabulary-shuffle"})
    attack(model, text);
  const TemporaryFolder folder;
  model.write(folder / "out");
  const Model before = Model::open(kZoo + "llama-base"), after = Model::open(folder / "out");
  EXPECT_LT(logit_difference(before, after), 1e-4);
  EXPECT_EQ(text_is_cut_alike(before, after), true);
  EXPECT_EQ(open_tokenizer(folder / "out")->token(1024 + 101), "<added_1125>");
}

TEST(MovedTokens, TokenizersOfEveryKindGiveTheSameEntriesUnderOtherIds) {
  for (const std::string kind : {"byte_bpe", "llama3_bpe", "unigram", "wordpiece"}) {
    const TemporaryFolder folder;
    for (const char* part : {"old", "new"}) {
      std::filesystem::copy(DEFECTOSCOPE_SOURCE_DIR "/src/tokenizer/testdata/" + kind, folder / part);
      write_file(folder / part / "config.json", R"({"eos_token_id": [70, 7]})");
    }
    const auto old = open_tokenizer(folder / "old");
    const std::vector<Index> movable = movable_tokens(folder / "old", old->size());
    EXPECT_GT(std::ssize(movable), old->size() / 2) << kind;
    std::vector<Index> places(static_cast<std::size_t>(old->size()));
    std::iota(places.begin(), places.end(), Index{0});
    for (std::size_t i = 0; i < movable.size(); ++i)
      places[static_cast<std::size_t>(movable[i])] = movable[movable.size() - 1 - i];
    EXPECT_EQ(places[70], 70) << kind;  // the configuration names it
    const std::string file = folder / "new/tokenizer.json";
    write_file(file, with_moved_tokens("tokenizer.json", read_file(file), places));
    const auto moved = open_tokenizer(folder / "new");
    std::vector<TokenId> ids = old->encode(kText, true);
    for (TokenId& id : ids) id = static_cast<TokenId>(places[static_cast<std::size_t>(id)]);
    EXPECT_EQ(moved->encode(kText, true), ids) << kind;
  }
}

TEST(MovedTokens, TokenizersThatCannotFollowAreRefusedWithTheReason) {
  const auto reason = [](const std::vector<std::string>& files) -> std::string {
    const TemporaryFolder folder;
    std::filesystem::copy(kZoo + "llama-base", folder / "model");
    std::filesystem::remove(folder / "model/tokenizer.json");
    for (const std::string& file : files) write_file(folder / "model" / file, "x");
    EditableModel model(Model::open(folder / "model"));
    try {
      attack(model, "vocabulary-shuffle");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(reason({}), HasSubstr("the folder has none"));
  EXPECT_THAT(reason({"tokenizer.model"}), HasSubstr("tokenizer.model lists its entries"));
  EXPECT_THAT(reason({"vocab.txt"}), HasSubstr("vocab.txt lists its entries"));
  EXPECT_THAT(reason({"qwen.tiktoken"}), HasSubstr("an entry's id is its rank"));
}

TEST(MovedTokens, FilesThatWouldContradictTheNewIdsAreLeftBehindOrChangedToo) {
  const TemporaryFolder folder;
  std::filesystem::copy(kZoo + "gpt2-mini", folder / "model");
  write_file(folder / "model/tokenizer.model", "x");
  nlohmann::json vocab = nlohmann::json::parse(read_file(folder / "model/tokenizer.json"))["model"]["vocab"];
  write_file(folder / "model/vocab.json", vocab.dump());
  EditableModel model(Model::open(folder / "model"));
  attack(model, "vocabulary-shuffle");
  model.write(folder / "out");
  EXPECT_FALSE(std::filesystem::exists(folder / "out/tokenizer.model"));
  const auto shuffled = open_tokenizer(folder / "out");
  const auto moved = nlohmann::json::parse(read_file(folder / "out/vocab.json"));
  EXPECT_NE(moved, vocab);
  for (const auto& [entry, id] : moved.items()) EXPECT_EQ(shuffled->find(entry), id.get<TokenId>());
}

TEST(Attacks, ALayerThatWritesNothingHasNoDirection) {
  EditableModel model = editable("llama-base");
  attack(model, "layer-insertion:2");
  const TemporaryFolder folder;
  model.write(folder / "out");
  const Signature s = signature_of(folder / "out");
  ASSERT_EQ(s.layers, 8);
  std::vector<Index> silent;
  for (Index i = 0; i < s.layers; ++i)
    if (std::ranges::all_of(s.left.row(i), [](float x) { return x == 0; })) silent.push_back(i);
  EXPECT_THAT(silent, testing::ElementsAre(2, 5));
}

TEST(Attacks, FunctionPreservingOnesDoNotHideTheOrigin) {
  const Signature base = signature_of(kZoo + "llama-base");
  for (const Attack& a : attacks()) {
    if (!a.preserves_function) continue;
    EditableModel model = editable("llama-base-ft-full");
    attack(model, a.name);
    const TemporaryFolder folder;
    model.write(folder / "out");
    const Comparison c = compare(base, signature_of(folder / "out"));
    EXPECT_EQ(c.verdict, Verdict::kRelated) << a.name;
    EXPECT_LT(*c.log_p, std::log(1e-4)) << a.name;
  }
}

TEST(Attacks, CanonicalDirectionsStandStillWhereThePapersMove) {
  // gain folding and residual scaling: directions of layers whose leading direction is well defined.
  for (const char* text : {"gain-folding", "residual-scaling"}) {
    EditableModel model = editable("llama-base");
    attack(model, text);
    const TemporaryFolder folder;
    model.write(folder / "out");
    const auto largest_angle = [&](SignatureForm form) {
      const Comparison c =
          compare(signature_of(kZoo + "llama-base", form), signature_of(folder / "out", form));
      return *std::ranges::max_element(c.evidence[0].angles_degrees);
    };
    EXPECT_LT(largest_angle(SignatureForm::kCanonical), 0.2) << text;
    EXPECT_GT(largest_angle(SignatureForm::kPaper), 5) << text;
  }
}

TEST(Attacks, WhatAFamilyDoesNotAllowIsRefusedWithTheReason) {
  const auto reason = [](const char* text) -> std::string {
    EditableModel model = editable("gpt2-mini");
    try {
      attack(model, text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(reason("rotation"), HasSubstr("LayerNorm"));
  EXPECT_THAT(reason("up-down-rescaling"), HasSubstr("not homogeneous"));
  EXPECT_THAT(reason("interpolate"), HasSubstr("--with"));
  EXPECT_THAT(reason("noise:-1"), HasSubstr("out of range"));
  EXPECT_THAT(reason("drop-layers:6"), HasSubstr("1 to 5"));
  EXPECT_THAT(reason("prune-neurons:1"), HasSubstr("out of range"));
  EXPECT_THAT(reason("layer-insertion:0.5"), HasSubstr("1 to 6"));
  EXPECT_THAT(reason("vocabulary-extension:0"), HasSubstr("out of range"));
  EXPECT_THAT(reason("low-rank:-1"), HasSubstr("out of range"));
  EXPECT_THAT(reason("embedding-noise:-1"), HasSubstr("out of range"));
  EXPECT_THAT(reason("embedding-replacement:2"), HasSubstr("a share"));
  EXPECT_THAT(reason("vocabulary-shuffle:2"), HasSubstr("a share"));
  EXPECT_THAT(reason("embedding-shuffle:-1"), HasSubstr("a share"));
  EXPECT_THAT(reason("rotaton"), HasSubstr("one of hidden-permutation"));
  EXPECT_THAT(reason("noise:x"), HasSubstr("noise:NUMBER"));
  EXPECT_THAT(reason("rotation:2"), HasSubstr("no strength"));
}

TEST(Attacks, AFolderThatHoldsFilesIsLeftAlone) {
  const TemporaryFolder folder;
  write_file(folder / "config.json", "mine");
  EXPECT_THROW(editable("llama-base").write(folder.path()), Error);
  EXPECT_EQ(read_file(folder / "config.json"), "mine");
}

}  // namespace
}  // namespace defectoscope
